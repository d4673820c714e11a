// The player: what the session sees, in words and buttons.

import { element, write } from "./dom.js";
import { formatLatency } from "./latency.js";
import { explain, shown, WORDS } from "./state.js";

const DELAY_TEXT_EVERY_MS = 1000;

export class Player {
  #delayWrittenAt = -Infinity;

  /**
   * @param {Session} session
   * @param {() => {stream: string}} playing
   * @param {() => boolean|null} isTalking in the picture that is shown; null: unknown
   */
  constructor(session, playing, isTalking) {
    Object.assign(this, { session, playing, isTalking });
    this.video = session.video;
  }

  /** What the word under the picture says. */
  shown = "connecting";

  start() {
    const { session, video } = this;
    element("sound").addEventListener("click", () => this.#toggleSound());
    element("pause").addEventListener("click", () => (session.state === "paused" ? session.play() : session.pause()));
    element("resume").addEventListener("click", () => session.play());
    video.addEventListener("click", () => this.#tapped());
    video.addEventListener("volumechange", () => this.#showSound());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) session.wake(); });
    video.muted = true; // the attribute alone is not enough where the browser remembers a choice
    this.#showSound();
    this.show();
  }

  show() {
    const { state, status, reason } = this.session;
    const word = shown(state, this.isTalking());
    this.shown = word;
    element("player").dataset.state = word;
    write(element("state"), WORDS[word]);
    write(element("headline"), state === "connecting" ? "Connecting…" : WORDS[state]);
    write(element("detail"), explain(state, { stream: this.playing().stream, status, reason }));
    const paused = state === "paused";
    element("resume").hidden = !paused;
    element("pause").classList.toggle("paused", paused);
    element("pause").setAttribute("aria-label", paused ? "Play" : "Pause");
    this.#showFigures(performance.now());
  }

  #showFigures(now) {
    const calm = this.session.state === "live" && now - this.#delayWrittenAt < DELAY_TEXT_EVERY_MS;
    if (calm) return;
    this.#delayWrittenAt = now;
    write(element("delay"), formatLatency(this.session.latencySeconds));
    const { videoWidth, videoHeight } = this.video;
    const size = videoWidth ? `${videoWidth} × ${videoHeight}` : "";
    write(element("facts"), [size, this.session.engine].filter(Boolean).join(" · "));
  }

  #showSound() {
    const heard = !this.video.muted;
    // Large and coloured until the first tap: nobody should wonder why a talking face is silent.
    if (heard) element("sound").classList.add("quiet");
    element("sound").classList.toggle("heard", heard);
    write(element("sound-label"), heard ? "Sound on" : "Tap for sound");
  }

  /** Sound first; in full screen, where no button is in reach, then a pause, whose veil has the way back. */
  #tapped() {
    if (this.video.muted) this.#toggleSound();
    else if (document.fullscreenElement) this.session.pause();
  }

  #toggleSound() {
    const { video, session } = this;
    video.muted = !video.muted;
    // Some browsers pause a video that is unmuted; the tap itself is the permission to go on.
    if (video.paused && session.state !== "paused") session.play();
  }
}
