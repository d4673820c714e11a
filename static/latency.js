// Arithmetic of lateness: pure functions, seconds and milliseconds in, seconds out.

/**
 * True latency: wall clock now minus wall clock when the shown picture was made
 * (EXT-X-PROGRAM-DATE-TIME). Player statistics know only their distance from the playlist's end.
 *
 * @param {Date|null} madeAt
 * @param {number} nowMs
 * @returns {number|null} seconds; null if unknown, or if the device's clock is plainly off
 */
export function latencySeconds(madeAt, nowMs) {
  if (madeAt === null || Number.isNaN(madeAt.getTime())) return null;
  const seconds = (nowMs - madeAt.getTime()) / 1000;
  return seconds < 0 || seconds > 3600 ? null : seconds;
}

/** @param {number|null} seconds */
export function formatLatency(seconds) {
  if (seconds === null) return "";
  return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s behind real time`;
}

/** Gains below this are not worth a visible jump. */
const WORTHWHILE_SECONDS = 0.15;

/**
 * Where to jump to shed latency: the engine's live position if it gains enough and is already here.
 * Beyond the landing point half the distance that the engine keeps from live must be here too: with
 * less, the next part need only be a little late, and the jump was a stall.
 *
 * @param {number} position      seconds on the media clock
 * @param {number|null} target   the engine's wished position on the same clock
 * @param {number} distance      seconds behind live at which the engine wishes to be
 * @param {TimeRanges} buffered
 * @returns {number|null}
 */
export function jumpTarget(position, target, distance, buffered) {
  if (target === null || target - position < WORTHWHILE_SECONDS) return null;
  for (let i = 0; i < buffered.length; i++) {
    const inside = buffered.start(i) <= target && target + distance / 2 <= buffered.end(i);
    if (inside) return target;
  }
  return null;
}
