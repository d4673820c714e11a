// A small live plot: one line over the last minute, its highest value in words.

import { draw, make, write } from "./dom.js";

const [WIDTH, HEIGHT] = [240, 44];

/**
 * The points of a polyline; a gap in what is known is a gap in the line.
 * @param {(number|null)[]} values oldest first, all of them `count` long
 * @param {number} count
 * @param {number} top the value at the upper edge
 * @returns {string[]} of one polyline each
 */
export function linesOf(values, count, top) {
  const lines = [[]];
  values.forEach((value, at) => {
    if (value === null) lines.push([]);
    else {
      const x = ((at + count - values.length) / (count - 1)) * WIDTH;
      lines.at(-1).push(`${x.toFixed(1)},${(HEIGHT - (Math.min(value, top) / top) * (HEIGHT - 2) - 1).toFixed(1)}`);
    }
  });
  return lines.filter((line) => line.length > 1).map((line) => line.join(" "));
}

/** A round number a little above the highest. */
export function topOf(values, least) {
  const most = Math.max(least, ...values.filter((value) => value !== null));
  const step = 10 ** Math.floor(Math.log10(most)) / 2;
  return Math.ceil(most / step) * step;
}

export class Plot {
  #values = [];
  #picture = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  #top = make("span", { class: "top" });

  /**
   * @param {string} title
   * @param {{count: number, least: number, unit: string}} scale least: of the value at the upper edge
   */
  constructor(title, { count, least, unit }) {
    Object.assign(this, { count, least, unit });
    this.node = make("figure", { class: "plot" }, make("figcaption", {}, title, " ", this.#top), this.#picture);
  }

  /** @param {number|null} value */
  add(value) {
    this.#values.push(value);
    if (this.#values.length > this.count) this.#values.shift();
  }

  show() {
    const top = topOf(this.#values, this.least);
    write(this.#top, `to ${top} ${this.unit}`);
    this.#picture.replaceChildren(...linesOf(this.#values, this.count, top).map((points) => draw("polyline", { points })));
  }
}
