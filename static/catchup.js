// When a jump towards live is due: after a start, after a tear in the picture, in silence, and when far
// behind. The middle of a sentence is left alone, where it is known to be one.

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
/** A sentence that stood still for longer is broken anyway: what comes next is wanted now. */
const BROKEN_SECONDS = 1;
/** In silence nobody misses a word: less than that is worth a jump, but not one every moment. */
const BEHIND_IN_SILENCE_SECONDS = 0.4;
const APART_IN_SILENCE_MS = 10000;

export class CatchUp {
  #from = 0;
  #until = -Infinity;
  #wordsMayGo = false; // of what is being said: nobody has heard its beginning
  #jumpedAt = -Infinity;

  /** The first picture of an engine moves. */
  started(now) {
    this.#from = now + SETTLE_MS;
    this.#until = now + START_MS;
    this.#wordsMayGo = true;
  }

  /** It moves again after a stall or a pause: the picture is torn anyway, so a jump costs little. */
  resumed(now, byViewer) {
    this.#until = Math.max(this.#until, now + TORN_MS);
    this.#wordsMayGo = byViewer;
  }

  /**
   * Where to jump now; after a jump the picture is left alone.
   *
   * @param {number} now           milliseconds
   * @param {number} position      seconds on the media clock
   * @param {number|null} target   the engine's wished position on the same clock
   * @param {number} distance      seconds behind live at which the engine wishes to be
   * @param {TimeRanges} buffered
   * @param {boolean|null} silent  whether the face says nothing now; null: unknown
   * @returns {number|null}
   */
  look(now, position, target, distance, buffered, silent = null) {
    if (now < this.#from || !this.#isDue(now, target === null ? 0 : target - position, silent)) return null;
    const jump = jumpTarget(position, target, distance, buffered);
    if (jump !== null) {
      this.#until = -Infinity;
      this.#jumpedAt = now;
    }
    return jump;
  }

  #isDue(now, behind, silent) {
    if (behind > FAR_BEHIND_SECONDS) return true;
    const open = now <= this.#until;
    if (silent === false) return open && (this.#wordsMayGo || behind > BROKEN_SECONDS);
    if (open || silent === null) return open;
    return behind > BEHIND_IN_SILENCE_SECONDS && now - this.#jumpedAt > APART_IN_SILENCE_MS;
  }
}
