// The text box: grows with its text, completes commands, carries a reply.

import { element } from "./message.js";

const $ = (id) => document.getElementById(id);

export class Composer {
  /** @param onSend called with (text, replyTo); false means it was not sent and stays in the box */
  constructor(onSend) {
    this.onSend = onSend;
    this.commands = [];
    this.matches = [];
    this.chosen = -1;
    this.replyTo = null;
    this.box = $("text");
    this.list = $("completion");
    this.box.addEventListener("input", () => this.changed());
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("blur", () => setTimeout(() => this.list.contains(document.activeElement) || this.show([]), 150));
    $("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    $("reply-cancel").addEventListener("click", () => this.reply(null));
    $("commands-button").addEventListener("click", () => {
      this.box.focus();
      this.show(this.list.hidden ? this.commands : []);
    });
    this.list.addEventListener("pointerdown", (event) => event.preventDefault()); // keeps the focus in the box
    this.list.addEventListener("click", (event) => {
      const option = event.target.closest("[data-command]");
      if (option) this.take(option.dataset.command, true);
    });
  }

  changed() {
    this.box.style.height = "auto";
    this.box.style.height = `${Math.min(this.box.scrollHeight, 160)}px`;
    $("send").classList.toggle("ready", this.box.value.trim() !== "");
    const typed = /^\/([a-z0-9_]*)$/i.exec(this.box.value);
    this.show(typed ? this.commands.filter((item) => item.command.startsWith(typed[1].toLowerCase())) : []);
  }

  show(matches) {
    this.matches = matches;
    this.chosen = -1;
    this.list.replaceChildren(
      ...matches.map((item, index) =>
        element(
          "li",
          { role: "option", id: `option${index}`, "aria-selected": "false", "data-command": item.command },
          element("strong", {}, `/${item.command}`),
          element("span", {}, item.description),
        ),
      ),
    );
    this.list.hidden = !matches.length;
    for (const id of ["text", "commands-button"]) $(id).setAttribute("aria-expanded", String(matches.length > 0));
    this.box.removeAttribute("aria-activedescendant");
  }

  choose(index) {
    this.chosen = (index + this.matches.length) % this.matches.length;
    [...this.list.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === this.chosen)));
    this.list.children[this.chosen].scrollIntoView({ block: "nearest" });
    this.box.setAttribute("aria-activedescendant", `option${this.chosen}`);
  }

  take(command, send) {
    this.box.value = `/${command}${send ? "" : " "}`;
    this.show([]);
    if (send) this.submit();
    else this.changed();
    this.box.focus();
  }

  key(event) {
    const open = this.matches.length > 0;
    if (event.isComposing) return;
    if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      this.choose(this.chosen < 0 && event.key === "ArrowUp" ? -1 : this.chosen + (event.key === "ArrowDown" ? 1 : -1));
    } else if (open && event.key === "Tab" && !event.shiftKey) {
      event.preventDefault();
      this.take(this.matches[Math.max(0, this.chosen)].command, false);
    } else if (event.key === "Escape") {
      if (open) this.show([]);
      else this.reply(null);
    } else if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      if (open && this.chosen >= 0) this.take(this.matches[this.chosen].command, true);
      else this.submit();
    }
  }

  submit() {
    const text = this.box.value.trim();
    if (!text || this.onSend(text, this.replyTo) === false) return;
    this.box.value = "";
    this.reply(null);
    this.changed();
  }

  /** Answers a message from now on; null: none. */
  reply(message) {
    this.replyTo = message ? message.id : null;
    $("replying").hidden = !message;
    if (!message) return;
    $("replying-name").textContent = message.name;
    $("replying-text").textContent = message.words;
    this.box.focus();
  }
}
