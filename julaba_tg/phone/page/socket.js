// One WebSocket to the phone's server that comes back by itself.

const FIRST_PAUSE = 300;
const LONGEST_PAUSE = 3000;
const GOING_AWAY = 1001; // said by the server when it is switched off
const NO_ANSWER = 1006; // tells nothing new: the server that went away does not answer

export class Socket {
  /** @param onNews called with each decoded line  @param onState called with "open", "closed" or "ended" */
  constructor(onNews, onState) {
    this.onNews = onNews;
    this.onState = onState;
    this.pause = FIRST_PAUSE;
    this.connect();
    // A phone that wakes up should not wait for the next try.
    window.addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.retryNow());
  }

  connect() {
    clearTimeout(this.timer);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/socket`);
    this.socket.onopen = () => {
      this.pause = FIRST_PAUSE;
      this.onState("open");
    };
    this.socket.onmessage = (event) => this.onNews(JSON.parse(event.data));
    this.socket.onclose = (event) => {
      if (event.code !== NO_ANSWER) this.ended = event.code === GOING_AWAY;
      this.onState(this.ended ? "ended" : "closed");
      this.timer = setTimeout(() => this.connect(), this.pause);
      this.pause = Math.min(LONGEST_PAUSE, this.pause * 1.7);
    };
  }

  retryNow() {
    if (this.socket.readyState === WebSocket.CLOSED) this.connect();
  }

  /** False when there is no connection: nothing was sent. */
  send(order) {
    if (this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(order));
    return true;
  }
}
