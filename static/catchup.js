// When a jump towards live is due: after a start, after a tear in the picture, and when far behind.

import { jumpTarget } from "./latency.js";

/** Time for hls.js to measure where the live edge is, before the start-up delay is jumped over. */
const SETTLE_MS = 600;
/** A start is over after this: from then on an undisturbed picture is worth more than a little delay. */
const START_MS = 1200;
/**
 * After a tear one look would not do: the picture often moves again before the first fresh playlist
 * and the media it lists are here, and until then the live position seems to lie behind us.
 */
const TORN_MS = 4000;
/** More than this behind the live position, playing on is worse than one jump. */
const FAR_BEHIND_SECONDS = 3;

export class CatchUp {
  #from = 0;
  #until = -Infinity;

  /** The first picture of an engine moves. */
  started(now) {
    this.#from = now + SETTLE_MS;
    this.#until = now + START_MS;
  }

  /** It moves again after a stall or a pause: the picture is torn anyway, so a jump costs nothing. */
  resumed(now) {
    this.#until = Math.max(this.#until, now + TORN_MS);
  }

  /**
   * Where to jump now; after a jump the picture is left alone.
   *
   * @param {number} now           milliseconds
   * @param {number} position      seconds on the media clock
   * @param {number|null} target   the engine's wished position on the same clock
   * @param {number} distance      seconds behind live at which the engine wishes to be
   * @param {TimeRanges} buffered
   * @returns {number|null}
   */
  look(now, position, target, distance, buffered) {
    const farBehind = target !== null && target - position > FAR_BEHIND_SECONDS;
    if (now < this.#from || (now > this.#until && !farBehind)) return null;
    const jump = jumpTarget(position, target, distance, buffered);
    if (jump !== null) this.#until = -Infinity;
    return jump;
  }
}
