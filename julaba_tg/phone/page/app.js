// The chat page: hears of every change by WebSocket and shows it.

import { Composer } from "./composer.js";
import { dayName, element, foldQuotes, icon, messageElement, serviceElement, unfold } from "./message.js";
import { Socket } from "./socket.js";

const $ = (id) => document.getElementById(id);
const KEPT = 600; // messages in the page; older ones are dropped
const TAP_WAIT = 30_000;
const chat = $("chat");
const list = $("messages");
const messages = new Map();
const waiting = new Map(); // "id:row:column" of a tapped button -> the server's query id, null before it is known
let user = Number(sessionStorage.getItem("user")) || undefined;
let unread = 0;
let atEnd = true;
let typing;
let seenBy = "bot"; // the line under the name: whose chat is shown

const composer = new Composer((text, replyTo) => {
  const sent = socket.send({ type: "say", text, reply_to: replyTo });
  if (!sent) toast("No connection. Your text is still there.");
  return sent;
});

// News from the server.

const news = {
  hello(line) {
    user = line.user;
    $("bot-name").textContent = line.bot.name;
    document.title = line.bot.name;
    waiting.clear();
    showUsers(line.users);
    news.commands(line);
    news.header(line);
    news.pinned(line);
    const stay = atEnd ? null : chat.scrollTop;
    list.setAttribute("aria-live", "off"); // history is not read out
    messages.clear();
    list.replaceChildren();
    line.messages.forEach(show);
    $("empty").hidden = line.messages.length > 0;
    if (stay === null) toEnd();
    else chat.scrollTop = stay;
    requestAnimationFrame(() => list.setAttribute("aria-live", "polite"));
  },
  message(line) {
    const known = messages.has(line.message.id);
    show(line.message);
    $("empty").hidden = true;
    if (line.message.bot) setTyping(false);
    if (known) return;
    if (atEnd || !line.message.bot) toEnd();
    else setUnread(unread + 1);
    if (line.message.force_reply) composer.reply(replyable(line.message));
  },
  deleted(line) {
    messages.delete(line.id);
    $(`m${line.id}`)?.remove();
    tidyDays();
  },
  tapped(line) {
    const place = `${line.message}:${line.row}:${line.column}`;
    if (waiting.has(place)) waiting.set(place, line.query);
  },
  answer(line) {
    for (const [place, query] of waiting) if (query === line.query_id) settle(place);
    if (line.text && line.show_alert) {
      $("notice-text").textContent = line.text;
      $("notice").showModal();
    } else if (line.text) toast(line.text);
  },
  action() {
    setTyping(true);
  },
  commands(line) {
    composer.commands = line.commands;
    $("commands-button").hidden = !line.commands.length;
  },
  header(line) {
    $("clock").hidden = !line.header.text;
    $("clock").textContent = line.header.text;
  },
  pinned(line) {
    $("pinned").hidden = !line.pinned;
    if (!line.pinned) return;
    $("pinned").dataset.goto = line.pinned.id;
    $("pinned-text").textContent = line.pinned.text;
  },
  refused(line) {
    toast(line.text);
  },
  behind() {
    open();
  },
};

const socket = new Socket(
  (line) => news[line.type]?.(line),
  (state) => {
    document.body.classList.toggle("offline", state !== "open");
    if (state === "open") open();
    else $("state").textContent = state === "ended" ? "The demo has ended" : "connecting…";
  },
);

function open() {
  socket.send({ type: "open", ...(user ? { user } : {}) });
}

// Messages.

function show(message) {
  messages.set(message.id, message);
  const old = $(`m${message.id}`);
  const focused = old?.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const wasOpen = Boolean(old?.querySelector("blockquote.open"));
  const item = message.service ? serviceElement(message) : messageElement(message, waiting);
  if (old) old.replaceWith(item);
  else append(item, message);
  foldQuotes(item, wasOpen);
  if (focused) item.querySelector(`[data-key="${focused}"]`)?.focus();
  if (old && atEnd) toEnd();
}

function append(item, message) {
  const day = dayName(message.date);
  const last = list.lastElementChild;
  if (list.dataset.day !== day || !last) {
    list.append(element("li", { class: "day" }, element("span", {}, day)));
    list.dataset.day = day;
  } else if (!message.service && last.classList.contains(message.bot ? "bot" : "me")) item.classList.add("joined");
  if (list.getAttribute("aria-live") === "polite") item.classList.add("new");
  list.append(item);
  while (messages.size > KEPT) {
    const first = messages.keys().next().value;
    messages.delete(first);
    $(`m${first}`)?.remove();
    tidyDays();
  }
}

function tidyDays() {
  for (const day of list.querySelectorAll(".day")) {
    const next = day.nextElementSibling;
    if (!next || next.classList.contains("day")) day.remove();
  }
  if (!list.children.length) delete list.dataset.day;
}

function toEnd() {
  chat.scrollTop = chat.scrollHeight;
  setUnread(0);
}

function setUnread(count) {
  unread = count;
  $("unread").textContent = count;
  $("unread").hidden = !count;
}

function goTo(id) {
  const item = $(`m${id}`);
  if (!item) return toast("That message is no longer here.");
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  item.scrollIntoView({ block: "center", behavior: calm ? "auto" : "smooth" });
  item.classList.remove("found");
  requestAnimationFrame(() => item.classList.add("found"));
}

const replyable = (message) => ({
  id: message.id,
  name: message.bot ? message.name : "You",
  words: $(`m${message.id}`)?.querySelector(".text")?.textContent.slice(0, 120) || "Picture",
});

// Taps on what a message holds.

list.addEventListener("click", (event) => {
  const item = event.target.closest(".message");
  if (!item) return;
  const message = messages.get(Number(item.dataset.id));
  const hit = (selector) => event.target.closest(selector);
  const target = hit("[data-tap],[data-copy],[data-goto],[data-photo],[data-command],[data-react],[data-more],.unfold,.spoiler,a");
  if (!target) {
    if (hit(".bubble") && getSelection().isCollapsed) openActions(item, message);
    return;
  }
  const data = target.dataset;
  if (data.tap) tap(message, data.tap, target);
  else if (data.copy) copy(data.copy);
  else if (data.goto) goTo(data.goto);
  else if (data.photo) openPicture(target);
  else if (data.command) socket.send({ type: "say", text: data.command, reply_to: null });
  else if ("react" in data) socket.send({ type: "react", message: message.id, emoji: null });
  else if ("more" in data) openActions(item, message);
  else if (target.classList.contains("unfold")) unfold(target);
  else if (target.classList.contains("spoiler")) reveal(target);
});

list.addEventListener("keydown", (event) => {
  if (event.target.classList.contains("spoiler") && (event.key === "Enter" || event.key === " ")) {
    event.preventDefault();
    reveal(event.target);
  }
});

function reveal(spoiler) {
  spoiler.classList.add("shown");
  for (const name of ["role", "tabindex", "aria-label"]) spoiler.removeAttribute(name);
}

function tap(message, key, button) {
  const place = `${message.id}:${key}`;
  if (waiting.has(place)) return;
  const [row, column] = key.split(":").map(Number);
  if (!socket.send({ type: "tap", message: message.id, row, column })) return toast("No connection.");
  waiting.set(place, null);
  button.setAttribute("aria-busy", "true");
  setTimeout(() => settle(place), TAP_WAIT);
}

function settle(place) {
  if (!waiting.delete(place)) return;
  const [id, ...key] = place.split(":");
  $(`m${id}`)?.querySelector(`[data-key="${key.join(":")}"]`)?.removeAttribute("aria-busy");
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied");
  } catch {
    toast("The browser does not allow copying here.");
  }
}

function openPicture(button) {
  const image = button.querySelector("img");
  $("viewer-image").src = button.dataset.photo;
  $("viewer-image").alt = image.alt;
  $("viewer").showModal();
}

$("viewer").addEventListener("click", () => $("viewer").close());

// Reply and reactions: a small menu, or a swipe to the left.

function openActions(item, message) {
  const menu = $("actions");
  const mine = message.reactions.find((reaction) => !reaction.bot)?.emoji;
  const entry = (label, act, ...content) => {
    const made = element("button", { type: "button", role: "menuitem", "aria-label": label }, ...content);
    made.addEventListener("click", () => {
      closeActions();
      act();
    });
    return made;
  };
  const react = (emoji) => () => socket.send({ type: "react", message: message.id, emoji: mine === emoji ? null : emoji });
  const text = item.querySelector(".text")?.textContent ?? "";
  menu.replaceChildren(
    entry("React with thumbs up", react("👍"), "👍"),
    entry("React with thumbs down", react("👎"), "👎"),
    entry("Reply", () => composer.reply(replyable(message)), icon("reply"), "Reply"),
    entry("Copy the text", () => copy(text), icon("copy"), "Copy"),
  );
  menu.hidden = false;
  const frame = $("phone").getBoundingClientRect();
  const box = item.querySelector(".bubble").getBoundingClientRect();
  const below = Math.max(box.bottom + 6, 80);
  const room = frame.bottom - menu.offsetHeight - 80;
  menu.style.top = `${Math.min(below, room) - frame.top}px`;
  menu.style.left = `${Math.max(8, Math.min(box.left - frame.left, frame.width - menu.offsetWidth - 8))}px`;
  menu.opener = item.querySelector(".more");
  menu.firstElementChild.focus({ preventScroll: true });
}

function closeActions(refocus) {
  if ($("actions").hidden) return;
  $("actions").hidden = true;
  if (refocus) $("actions").opener?.focus();
}

$("actions").addEventListener("keydown", (event) => {
  const items = [...$("actions").children];
  const now = items.indexOf(document.activeElement);
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (step) items[(now + step + items.length) % items.length].focus();
  if (event.key === "Escape") closeActions(true);
});

let swipe = null;
list.addEventListener("pointerdown", (event) => {
  const item = event.target.closest(".message");
  if (item && event.pointerType === "touch") swipe = { item, x: event.clientX, y: event.clientY, far: false };
});
list.addEventListener("pointermove", (event) => {
  if (!swipe) return;
  const x = event.clientX - swipe.x;
  if (Math.abs(event.clientY - swipe.y) > 24) return endSwipe(false);
  const moved = Math.max(-72, Math.min(0, x));
  swipe.far = moved < -56;
  swipe.item.style.transform = moved < -8 ? `translateX(${moved}px)` : "";
});
const endSwipe = (taken) => {
  if (!swipe) return;
  const { item, far } = swipe;
  swipe = null;
  item.style.transform = "";
  if (taken && far) composer.reply(replyable(messages.get(Number(item.dataset.id))));
};
list.addEventListener("pointerup", () => endSwipe(true));
list.addEventListener("pointercancel", () => endSwipe(false));

// Around the chat.

chat.addEventListener("scroll", () => {
  atEnd = chat.scrollHeight - chat.scrollTop - chat.clientHeight < 60;
  $("to-end").hidden = atEnd;
  if (atEnd) setUnread(0);
  closeActions();
  showDays();
});

// The day of what is at the top shows while scrolling; a pill that stays would cover text.

let scrolling;
function showDays() {
  chat.classList.remove("still");
  clearTimeout(scrolling);
  scrolling = setTimeout(() => {
    const top = chat.getBoundingClientRect().top;
    for (const day of list.querySelectorAll(".day")) {
      const below = day.nextElementSibling;
      const covers = below && day.getBoundingClientRect().bottom > below.getBoundingClientRect().top;
      day.classList.toggle("stuck", Boolean(covers) && day.getBoundingClientRect().top - top < 20);
    }
    chat.classList.add("still");
  }, 900);
}

new ResizeObserver(() => atEnd && toEnd()).observe(chat);
list.addEventListener("load", () => atEnd && toEnd(), true);
$("to-end").addEventListener("click", toEnd);
$("pinned").addEventListener("click", () => goTo($("pinned").dataset.goto));

document.addEventListener("pointerdown", (event) => {
  if (!event.target.closest("#actions, .message")) closeActions();
  if (!event.target.closest("#menu, #menu-button")) toggleMenu(false);
});
document.addEventListener("keydown", (event) => event.key === "Escape" && toggleMenu(false));
$("menu-button").addEventListener("click", () => toggleMenu($("menu").hidden));

function toggleMenu(shown) {
  $("menu").hidden = !shown;
  $("menu-button").setAttribute("aria-expanded", String(shown));
}

function showUsers(users) {
  const names = JSON.stringify(users);
  if ($("users").dataset.names !== names) {
    $("users").dataset.names = names;
    $("users").replaceChildren(...users.map(choice));
  }
  for (const radio of $("users").querySelectorAll("input")) radio.checked = Number(radio.value) === user;
  const other = users.find((item) => item.id === user && item !== users[0]);
  seenBy = other ? `seen by ${other.name}` : "bot";
  $("state").textContent = seenBy;
}

function choice(item) {
  const radio = element("input", { type: "radio", name: "user", value: item.id });
  radio.addEventListener("change", () => {
    user = item.id;
    sessionStorage.setItem("user", user);
    atEnd = true;
    composer.reply(null);
    open();
  });
  return element("label", {}, radio, element("span", {}, item.name), element("small", {}, item.id));
}

function setTyping(on) {
  clearTimeout(typing);
  document.body.classList.toggle("typing", on);
  if (on) {
    $("state").textContent = "typing…";
    typing = setTimeout(() => setTyping(false), 5000);
  } else if ($("state").textContent === "typing…") $("state").textContent = seenBy;
}

function toast(text) {
  const box = $("toast");
  box.textContent = text;
  box.hidden = false;
  clearTimeout(box.timer);
  box.timer = setTimeout(() => (box.hidden = true), Math.min(6000, 2500 + text.length * 30));
}
