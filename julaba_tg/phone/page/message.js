// Builds a message's elements. Texts are only ever text nodes; elements come from the fixed lists below.

const PLAIN_TAGS = {
  bold: "strong",
  italic: "em",
  underline: "u",
  strikethrough: "s",
  code: "code",
  custom_emoji: "span",
  mention: "span",
  hashtag: "span",
  cashtag: "span",
};
const STYLES = new Set(["danger", "success", "primary"]);
const RELATIVE = [
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
];

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") made.className = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

export const clockTime = (seconds) =>
  new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

export function dayName(seconds) {
  return new Date(seconds * 1000).toLocaleDateString([], { day: "numeric", month: "long", year: "numeric" });
}

// Text.

function nodes(list) {
  return list.map((node) => (typeof node === "string" ? document.createTextNode(node) : formatted(node)));
}

function formatted(node) {
  const children = nodes(node.children);
  switch (node.tag) {
    case "text_link":
    case "url":
      return link(node.url ?? node.children.join(""), children);
    case "spoiler":
      return element("span", { class: "spoiler", role: "button", tabindex: "0", "aria-label": "Hidden text, show" }, ...children);
    case "pre": {
      const code = element("code", {}, ...children);
      return element("pre", { tabindex: "0", "data-language": node.language }, code);
    }
    case "blockquote":
      return element("blockquote", {}, ...children);
    case "expandable_blockquote": {
      const text = element("div", { class: "folded" }, ...children);
      const toggle = element("button", { type: "button", class: "unfold", "aria-expanded": "false", "data-key": "unfold" }, "Show more");
      return element("blockquote", { class: "expandable" }, text, toggle);
    }
    case "bot_command":
      return element("button", { type: "button", class: "command", "data-command": node.children.join("") }, ...children);
    case "date_time":
      return moment(node, children);
    default:
      return element(PLAIN_TAGS[node.tag] ?? "span", {}, ...children);
  }
}

function link(url, children) {
  if (!/^https?:\/\//i.test(url)) return element("span", { class: "link" }, ...children);
  return element("a", { href: url, target: "_blank", rel: "noopener noreferrer nofollow" }, ...children);
}

function moment(node, children) {
  const when = new Date(node.unix_time * 1000);
  const made = element("time", { datetime: when.toISOString(), title: when.toLocaleString() }, ...children);
  const form = node.date_time_format ?? "";
  if (form === "r") made.textContent = relative(node.unix_time - Date.now() / 1000);
  else if (form) made.textContent = absolute(when, form);
  return made;
}

function relative(seconds) {
  const [unit, size] = RELATIVE.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  return new Intl.RelativeTimeFormat([], { numeric: "auto" }).format(Math.round(seconds / size), unit);
}

function absolute(when, form) {
  const options = {};
  if (form.includes("w")) options.weekday = "long";
  if (form.includes("d")) options.dateStyle = "short";
  if (form.includes("D")) options.dateStyle = "long";
  if (form.includes("t")) options.timeStyle = "short";
  if (form.includes("T")) options.timeStyle = "medium";
  if (!options.weekday) return when.toLocaleString([], options);
  const day = when.toLocaleDateString([], { weekday: "long" });
  delete options.weekday;
  return Object.keys(options).length ? `${day}, ${when.toLocaleString([], options)}` : day;
}

// Parts of a message.

function reply(message) {
  if (!message.reply) return null;
  return element(
    "button",
    { type: "button", class: "answered", "data-goto": message.reply.id, "aria-label": `Reply to ${message.reply.name}: ${message.reply.text}` },
    element("strong", {}, message.reply.name),
    element("span", {}, message.reply.text),
  );
}

function media(message) {
  const file = message.media;
  if (!file) return null;
  if (file.kind === "photo") {
    const words = message.nodes.map((node) => (typeof node === "string" ? node : node.children.join(""))).join("");
    const alt = `Picture: ${words.split("\n")[0] || file.name}`;
    const image = element("img", { src: file.url, alt, width: file.width, height: file.height, loading: "lazy" });
    return element("button", { type: "button", class: "photo", "data-photo": file.url, "data-key": "photo" }, image);
  }
  const details = element("span", {}, element("strong", {}, file.name), element("small", {}, size(file.size)));
  const badge = element("span", { class: "badge" }, icon("file"));
  return element("a", { class: "document", href: file.url, download: file.name, "data-key": "file" }, badge, details);
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1024 * 1024 ? `${(bytes / 1024).toFixed(1)} KB` : `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}

function meta(message) {
  const marks = [];
  if (message.pinned) marks.push(marked("pin", "pinned"));
  if (message.silent) marks.push(marked("silent", "sent silently"));
  if (message.edited) marks.push(element("span", {}, "edited"));
  const when = new Date(message.date * 1000);
  const time = element("time", { datetime: when.toISOString(), title: when.toLocaleString() }, clockTime(message.date));
  return element("span", { class: "meta" }, ...marks, time);
}

function marked(name, words) {
  return element("span", { class: "mark", title: words }, icon(name), element("span", { class: "unseen" }, words));
}

function reactions(message) {
  if (!message.reactions.length) return null;
  const made = message.reactions.map((reaction) => {
    const label = `${reaction.emoji} ${reaction.bot ? "from the bot" : "from you, take back"}`;
    const attributes = { type: "button", class: reaction.bot ? "reaction" : "reaction mine", "aria-label": label };
    return element("button", { ...attributes, "data-react": reaction.bot ? undefined : "", disabled: reaction.bot }, reaction.emoji);
  });
  return element("span", { class: "reactions" }, ...made);
}

function keyboard(message, waiting) {
  if (!message.keyboard.length) return null;
  const rows = message.keyboard.map((row, r) =>
    element("div", { class: "row" }, ...row.map((button, c) => key(button, `${r}:${c}`, waiting.has(`${message.id}:${r}:${c}`)))),
  );
  return element("div", { class: "keyboard", role: "group", "aria-label": "Buttons of the message" }, ...rows);
}

function key(button, place, busy) {
  const style = STYLES.has(button.style) ? button.style : "";
  const text = element("span", {}, button.text);
  if (button.url) {
    const safe = /^https?:\/\//i.test(button.url) ? button.url : undefined;
    return element("a", { class: `key ${style}`, href: safe, target: "_blank", rel: "noopener noreferrer", "data-key": place }, text, icon("link"));
  }
  const attributes = { type: "button", class: `key ${style}`, "data-key": place, "aria-busy": busy ? "true" : undefined };
  if (button.copy_text) return element("button", { ...attributes, "data-copy": button.copy_text.text }, text, icon("copy"));
  return element("button", { ...attributes, "data-tap": place }, text);
}

/** The line that tells of a pin or a new topic; nothing to tap, answer or copy. */
export function serviceElement(message) {
  return element("li", { class: "service", id: `m${message.id}`, "data-id": message.id }, element("span", {}, message.service));
}

/** The list item of a message. ``waiting`` holds the buttons, ``id:row:column``, whose tap is not answered yet. */
export function messageElement(message, waiting) {
  const body = element("div", { class: "text" }, ...nodes(message.nodes));
  const bubble = element(
    "div",
    { class: `bubble${message.media?.kind === "photo" ? " pictured" : ""}` },
    element("span", { class: "unseen" }, `${message.bot ? message.name : "You"}: `),
    reply(message),
    media(message),
    message.nodes.length ? body : null,
    reactions(message),
    meta(message),
  );
  const more = element("button", { type: "button", class: "more", "data-more": "", "data-key": "more", "aria-label": "Message actions", "aria-haspopup": "menu" }, icon("reply"));
  const stack = element("div", { class: "stack" }, bubble, keyboard(message, waiting));
  return element("li", { class: `message ${message.bot ? "bot" : "me"}`, id: `m${message.id}`, "data-id": message.id }, stack, more);
}

/** Shows "Show more" only where something is folded away; ``open`` keeps a quote open over an edit. */
export function foldQuotes(item, open) {
  for (const quote of item.querySelectorAll("blockquote.expandable")) {
    const text = quote.querySelector(".folded");
    const toggle = quote.querySelector(".unfold");
    if (text.scrollHeight <= text.clientHeight + 2) toggle.hidden = true;
    if (open) unfold(toggle);
  }
}

export function unfold(toggle) {
  const opened = toggle.parentElement.classList.toggle("open");
  toggle.setAttribute("aria-expanded", String(opened));
  toggle.textContent = opened ? "Show less" : "Show more";
}
