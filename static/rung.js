// Which rendition this device plays: one, or whichever fits its network.

import { element, make } from "./dom.js";

/** The choice of rendition on this device: it belongs to the player, not to the stream. */
export class RungChoice {
  #shown = "";

  /** @param {Session} session */
  constructor(session) {
    this.session = session;
  }

  start() {
    element("rung").addEventListener("change", ({ target }) => {
      this.session.fixRung(target.value === "auto" ? null : Number(target.value));
    });
  }

  show() {
    const { rungs, fixedRung } = this.session;
    if (rungs.length === 0) return; // between two starts of the player, the choice stays in sight
    const select = element("rung");
    const key = rungs.map(({ height, kbit }) => `${height}:${kbit}`).join();
    if (key !== this.#shown) {
      const options = rungs.map(({ height, kbit }) => make("option", { value: height }, `${height} lines, ${kbit} kbit/s`));
      select.replaceChildren(make("option", { value: "auto" }, "Automatic"), ...options);
      element("rung-field").hidden = rungs.length < 2;
      this.#shown = key;
    }
    const chosen = String(fixedRung);
    const value = [...select.options].some((option) => option.value === chosen) ? chosen : "auto";
    if (select.value !== value) select.value = value;
  }
}
