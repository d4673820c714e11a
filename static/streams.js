// The list of all streams: watch one, pass on its link, end it; clear away what never came to be.

import { pageUrl, readPlayback } from "./address.js";
import { copyText, element, make, tell } from "./dom.js";
import { sayCopied } from "./share.js";

const LOOK_MS = 3000;
const OVER = new Set(["ending", "ended", "failed"]);

export class StreamsPanel {
  #timer = 0;
  #shown = "";
  #failing = false;

  /** @param {Studio} studio */
  constructor(studio) {
    this.studio = studio;
  }

  start() {
    element("new-stream").addEventListener("click", () => this.studio.openPanel("face"));
  }

  /** While it is in front, it looks again and again. */
  open(isOpen) {
    clearInterval(this.#timer);
    if (!isOpen) return;
    this.#timer = setInterval(() => { if (!document.hidden) this.#look(); }, LOOK_MS);
    this.#look();
  }

  async #look() {
    try {
      const { streams } = await this.studio.api.get("streams");
      if (this.#failing) tell(element("streams-told"), "");
      this.#failing = false;
      this.#show(streams);
    } catch (error) {
      this.#failing = true;
      tell(element("streams-told"), error.message, true);
    }
  }

  /** Only what differs is laid out anew: a button that is being pressed must stay. */
  #show(streams) {
    const rows = streams.map(({ id, state, reason, width, height, playback }) => ({ id, state, reason, width, height, playback }));
    const key = JSON.stringify([rows.map(({ playback, ...row }) => row), this.studio.playing.stream]);
    if (key === this.#shown) return;
    this.#shown = key;
    const focused = document.activeElement?.dataset?.focus;
    element("list").replaceChildren(...rows.map((row) => this.#row(row)));
    if (focused) element("list").querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
  }

  #row({ id, state, reason, width, height, playback }) {
    const address = readPlayback(playback.hls);
    const isPlaying = id === this.studio.playing.stream;
    const size = width ? `${width} × ${height}` : "";
    const facts = [state, size, reason].filter(Boolean).join(" · ");
    const button = (name, label, run, more = {}) =>
      make("button", { type: "button", class: "secondary small", "aria-label": `${label} ${id}`, "data-focus": `${name} ${id}`, onclick: run, ...more }, label);
    return make("li", isPlaying ? { "aria-current": "true" } : {},
      make("div", { class: "grow" }, make("p", { class: "name" }, id), make("p", { class: "hint" }, facts)),
      make("div", { class: "row" },
        ...(isPlaying || OVER.has(state) ? [] : [button("watch", "Watch", () => this.studio.watch(address))]),
        button("link", "Copy link", (event) => this.#copy(event.currentTarget, address)),
        ...(OVER.has(state) ? [] : [button("end", "End", (event) => this.#end(id, event.currentTarget))]),
        ...(state === "failed" ? [button("remove", "Remove", () => this.#delete(id, "is removed"))] : [])));
  }

  async #copy(button, address) {
    await copyText(pageUrl(address, document.baseURI));
    sayCopied(button, element("copied"), "Link");
  }

  /** At the second press: what has ended does not come back. */
  async #end(id, button) {
    if (button.dataset.armed === undefined) {
      button.dataset.armed = "";
      button.textContent = "Really end?";
      button.setAttribute("aria-label", `Really end ${id}?`);
      button.addEventListener("blur", () => this.#disarm(id, button), { once: true });
      return;
    }
    await this.#delete(id, "ends");
    this.#disarm(id, button);
  }

  async #delete(id, said) {
    try {
      await this.studio.api.delete(`streams/${encodeURIComponent(id)}`);
      tell(element("streams-told"), `${id} ${said}.`);
    } catch (error) {
      tell(element("streams-told"), error.message, true);
    }
    this.#look();
  }

  #disarm(id, button) {
    delete button.dataset.armed;
    button.textContent = "End";
    button.setAttribute("aria-label", `End ${id}`);
  }
}
