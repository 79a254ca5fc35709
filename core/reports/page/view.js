// A window onto rows that lie side by side: zoom, movement, cursor, for mouse, fingers and keys.
import { timeTicks } from "./format.js";
import { rowAt } from "./data.js";

const AXIS = 82; // pixels at the right for prices
const FOOT = 24; // and below for times

export class View {
  // `draw(view)` paints, `moved(view)` tells that the cursor is elsewhere; `drag` is "zoom" or "move".
  constructor(canvas, { drag, draw, moved }) {
    Object.assign(this, { canvas, drag, paint: draw, moved });
    this.pen = canvas.getContext("2d");
    this.count = 0;
    this.cursor = null;
    this.selection = null;
    this.fingers = new Map();
    this.waiting = false;
    new ResizeObserver(() => this.draw()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", (event) => this.#up(event, true));
    canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && !this.fingers.size && this.point(null));
    canvas.addEventListener("dblclick", () => this.reset());
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.#key(event));
    const tools = canvas.closest("section").querySelectorAll("[data-zoom]");
    for (const button of tools) button.addEventListener("click", () => this.tool(button.dataset.zoom));
  }

  // Other rows: `time` per row; `from` and `to` where the view begins.
  show(time, from = 0, to = time.length) {
    this.time = time;
    this.count = time.length;
    this.cursor = null;
    this.go(from, to);
  }

  go(from, to) {
    const least = Math.min(12, this.count);
    const span = Math.min(this.count, Math.max(least, to - from));
    const middle = (from + to) / 2;
    this.from = Math.min(Math.max(0, middle - span / 2), this.count - span);
    this.to = this.from + span;
    this.draw();
  }

  reset() {
    this.go(0, this.count);
  }

  tool(what) {
    if (what === "reset") this.reset();
    else this.zoom(what === "in" ? 0.6 : 1 / 0.6, (this.from + this.to) / 2);
  }

  zoom(factor, row) {
    const span = (this.to - this.from) * factor;
    const share = (row - this.from) / (this.to - this.from);
    this.go(row - span * share, row + span * (1 - share));
  }

  point(row) {
    this.cursor = row === null ? null : Math.min(this.count - 1, Math.max(0, Math.round(row)));
    this.moved(this);
    this.draw();
  }

  get width() { return this.canvas.clientWidth - AXIS; }
  get height() { return this.canvas.clientHeight - FOOT; }

  // The middle of a row, and the row at a place.
  x(row) { return ((row + 0.5 - this.from) / (this.to - this.from)) * this.width; }
  rowOf(x) { return this.from + (x / this.width) * (this.to - this.from) - 0.5; }

  get first() { return Math.max(0, Math.floor(this.from)); }
  get last() { return Math.min(this.count, Math.ceil(this.to)); }

  draw() {
    if (this.waiting || !this.count) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      const { canvas, pen } = this;
      const scale = window.devicePixelRatio || 1;
      const wide = Math.round(canvas.clientWidth * scale);
      const high = Math.round(canvas.clientHeight * scale);
      if (!wide) return;
      if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
      pen.setTransform(scale, 0, 0, scale, 0, 0);
      pen.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
      const style = getComputedStyle(canvas);
      this.color = (name) => style.getPropertyValue(`--${name}`).trim();
      this.font = (size, weight = 400) => { pen.font = `${weight} ${size}px ${style.fontFamily}`; };
      this.paint(this);
      canvas.dataset.shown = `${this.from.toFixed(2)} ${this.to.toFixed(2)}`;
    });
  }

  // Lines and names of times along the foot.
  drawTimes() {
    const { pen, time, width, height } = this;
    const from = time[this.first];
    const to = time[this.last - 1];
    this.font(11.5);
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    let free = 0;
    for (const [at, text] of timeTicks(from, to, Math.max(3, Math.floor(width / 84)))) {
      const x = this.x(rowAt(time, at));
      pen.fillStyle = this.color("grid");
      pen.fillRect(Math.round(x), 0, 1, height);
      const half = pen.measureText(text).width / 2;
      if (x - half < free || x + half > width + AXIS / 2) continue;
      pen.fillStyle = this.color("soft");
      pen.fillText(text, x, height + FOOT / 2 + 2);
      free = x + half + 10;
    }
    pen.textAlign = "right";
    pen.fillStyle = this.color("soft");
    pen.fillText("UTC", width + AXIS - 6, height + FOOT / 2 + 2);
  }

  drawCursor() {
    const { pen } = this;
    if (this.selection) {
      const [a, b] = this.selection.map((x) => Math.min(this.width, Math.max(0, x)));
      pen.globalAlpha = 0.16;
      pen.fillStyle = this.color("accent");
      pen.fillRect(Math.min(a, b), 0, Math.abs(b - a), this.height);
      pen.globalAlpha = 1;
    } else if (this.cursor !== null && this.cursor >= this.from - 1 && this.cursor <= this.to) {
      pen.fillStyle = this.color("soft");
      pen.fillRect(Math.round(this.x(this.cursor)), 0, 1, this.height);
    }
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    return event.clientX - box.left;
  }

  #down(event) {
    if (!this.count || (event.pointerType === "mouse" && event.button)) return;
    const x = this.#place(event);
    this.fingers.set(event.pointerId, x);
    this.canvas.setPointerCapture(event.pointerId);
    this.travelled = 0;
    if (this.fingers.size > 1) this.selection = null;
    else if (this.drag === "zoom" && event.pointerType === "mouse") this.selection = [x, x];
    if (event.pointerType !== "mouse" && this.drag === "zoom") this.point(this.rowOf(x));
  }

  #move(event) {
    if (!this.count) return;
    const x = this.#place(event);
    const before = this.fingers.get(event.pointerId);
    if (before === undefined) {
      this.point(x <= this.width ? this.rowOf(x) : null);
      return;
    }
    this.travelled += Math.abs(x - before);
    if (this.fingers.size === 2) this.#pinch(event.pointerId, x);
    else if (this.drag === "move") {
      const rows = ((before - x) / this.width) * (this.to - this.from);
      this.go(this.from + rows, this.to + rows);
    } else if (this.selection) {
      this.selection[1] = x;
      this.point(this.rowOf(x));
    } else this.point(this.rowOf(x));
    this.fingers.set(event.pointerId, x);
  }

  #pinch(id, x) {
    const other = [...this.fingers].find(([key]) => key !== id)[1];
    const before = this.fingers.get(id);
    const near = 24; // two fingers at one place would zoom without end
    const factor = Math.max(near, Math.abs(before - other)) / Math.max(near, Math.abs(x - other));
    const rows = ((before - x) / 2 / this.width) * (this.to - this.from);
    this.go(this.from + rows, this.to + rows);
    this.zoom(factor, this.rowOf((x + other) / 2));
  }

  #up(event, broken = false) {
    const x = this.fingers.get(event.pointerId);
    this.fingers.delete(event.pointerId);
    const { selection } = this;
    this.selection = null;
    if (x === undefined || broken) return;
    if (selection && Math.abs(selection[1] - selection[0]) > 6) {
      const rows = selection.map((at) => this.rowOf(Math.min(this.width, Math.max(0, at))) + 0.5).sort((a, b) => a - b);
      this.go(...rows);
    } else if (this.travelled < 6) this.point(this.rowOf(x));
    this.draw();
  }

  #wheel(event) {
    // A page must scroll past a chart: the wheel alone zooms only what was clicked on.
    if (!event.ctrlKey && document.activeElement !== this.canvas) return;
    event.preventDefault();
    this.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 250), this.rowOf(this.#place(event)) + 0.5);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 10 : 1;
    const at = this.cursor ?? Math.round((this.from + this.to) / 2);
    const acts = {
      ArrowLeft: () => this.#step(at - step),
      ArrowRight: () => this.#step(at + step),
      Home: () => this.#step(0),
      End: () => this.#step(this.count - 1),
      "+": () => this.zoom(0.6, at),
      "=": () => this.zoom(0.6, at),
      "-": () => this.zoom(1 / 0.6, at),
      Escape: () => this.reset(),
      0: () => this.reset(),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  }

  // The cursor to a row, the view with it.
  #step(row) {
    const wanted = Math.min(this.count - 1, Math.max(0, row));
    const span = this.to - this.from;
    if (wanted < this.from) this.go(wanted, wanted + span);
    else if (wanted + 1 > this.to) this.go(wanted + 1 - span, wanted + 1);
    this.point(wanted);
  }
}

// A name at the right edge; gives where it ended up, so that the next can keep away.
export function tag(view, y, text, color, filled) {
  const { pen } = view;
  view.font(11.5, 600);
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  const x = view.width + 4;
  const room = AXIS - 9;
  const wide = pen.measureText(text).width;
  if (wide > room) view.font((11.5 * room) / wide, 600);
  if (filled) {
    pen.fillStyle = color;
    pen.beginPath();
    pen.roundRect(x - 1, y - 9, AXIS - 5, 18, 4);
    pen.fill();
  }
  pen.fillStyle = filled ? view.color("panel") : color;
  pen.fillText(text, x + 3, y);
}

export function words(parts) {
  return parts.map(([name, value, tone]) => {
    const part = document.createElement("span");
    part.append(name ? `${name} ` : "");
    const bold = document.createElement("b");
    bold.textContent = value;
    if (tone) bold.className = tone;
    part.append(bold);
    return part;
  });
}
