// What the page says, from what it sees: pure functions, no DOM.

/** A picture that has stood still this long is no longer called live. */
export const STALL_AFTER_MS = 700;

/**
 * @param {object} seen
 * @param {string} seen.unplayable   why this browser or stream cannot be played; "" while it can
 * @param {boolean} seen.ended       the playlist is closed and all of it was shown
 * @param {boolean} seen.attached    a playlist was found and handed to the engine
 * @param {boolean} seen.paused      by the viewer, or by a browser that refuses autoplay
 * @param {boolean} seen.moved       the picture has moved since the engine was attached
 * @param {number} seen.stillMs      milliseconds since the media clock last moved
 * @returns {"unplayable"|"ended"|"paused"|"connecting"|"live"|"stalled"}
 */
export function judge(seen) {
  if (seen.unplayable) return "unplayable";
  if (seen.ended) return "ended";
  if (!seen.attached) return "connecting";
  if (seen.paused) return "paused";
  if (!seen.moved) return "connecting";
  return seen.stillMs < STALL_AFTER_MS ? "live" : "stalled";
}

/**
 * The same for people: a face that is live and speaks in the very picture that is shown talks.
 *
 * @param {string} state       from judge()
 * @param {boolean|null} talking null: nobody can say
 */
export function shown(state, talking) {
  return state === "live" && talking === true ? "talking" : state;
}

/** Short words for the state under the picture. */
export const WORDS = {
  connecting: "Connecting",
  live: "Live",
  talking: "Talking",
  stalled: "Stalled",
  paused: "Paused",
  ended: "Ended",
  unplayable: "Cannot play",
};

/**
 * The sentence over the picture: what is going on and what happens next.
 * @param {string} state
 * @param {{stream: string, status: number|null, reason: string}} facts
 *        status: HTTP status of the last look for the playlist, 0 without an answer, null before the first
 */
export function explain(state, { stream, status, reason }) {
  switch (state) {
    case "connecting":
      return explainWaiting(stream, status);
    case "stalled":
      return "No new pictures are arriving. It goes on by itself as soon as they do.";
    case "ended":
      return "This stream is over. If it starts again, it will play here by itself.";
    case "unplayable":
      return reason;
    default:
      return "";
  }
}

function explainWaiting(stream, status) {
  if (status === null || status === 200) return "";
  if (status === 0) return "The server does not answer. Trying again every second.";
  if (status === 403) return "This stream needs a link that is valid. This one is not, or no longer; ask for another.";
  if (status === 404) return `There is no stream “${stream}” yet. Looking again every second.`;
  if (status === 503) return "The stream is starting up.";
  return `The server answers ${status}. Trying again every second.`;
}
