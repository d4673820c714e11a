// One viewer's connection to one stream, for as long as the page is open: find the playlist, play it,
// start over when that ends. It never reloads the page and never gives up.

import { CatchUp } from "./catchup.js";
import { chooseEngine } from "./engines.js";
import { latencySeconds } from "./latency.js";
import { peek } from "./playlist.js";
import { judge } from "./state.js";

const TICK_MS = 250;
const RETRY_MS = 1000;
const PEEK_MS = 2500;
/** From here on the player is asked whether it alone stands still (a stuck decoder). */
const SUSPECT_AFTER_MS = 3000;
/** A slow network is given this much more before its first picture. */
const FIRST_PICTURE_MS = 7000;
/** So many undecodable starts in a row, without one picture: this is no hiccup. */
const HOPELESS_FAILURES = 3;
const KEPT_ERRORS = 50;
/** So long without a stall, and the network has earned the shorter delay again. */
const CALM_MS = 30000;

export class Session {
  /** What the page shows; see judge(). */
  state = "connecting";
  /** HTTP status of the last look for the playlist: 0 without an answer, null before the first. */
  status = null;
  reason = "";
  errors = [];
  fatalErrors = 0;
  stalls = 0;
  jumps = 0;
  firstFrameMs = null;

  #engine = null;
  #ended = false;
  #wantsPlay = true;
  #failures = 0;
  #catchUp = new CatchUp();
  #torn = null; // by a "stall" or a "pause", until it moves again
  #inStall = false;
  #stalledAt = -Infinity;
  #position = 0;
  #movedAt = null; // null: not one picture from this engine yet
  #attachedAt = 0;
  #suspicion = null;
  #rung = null;
  #finish = () => {};
  #hurry = () => {};

  /**
   * Whether the face is silent in the picture that is shown; null where nobody tells.
   * @type {(shown: Date|null) => boolean|null}
   */
  isSilent = () => null;

  /**
   * @param {HTMLVideoElement} video
   * @param {string} url of the multivariant playlist
   * @param {string|null} wantedEngine
   * @param {() => void} changed called after each look at the video
   */
  constructor(video, url, wantedEngine, changed) {
    this.video = video;
    this.url = url;
    this.engineClass = chooseEngine(video, wantedEngine);
    this.changed = changed;
  }

  get engine() {
    return this.engineClass?.label ?? null;
  }

  /** When the picture on the screen was made; null while that is unknown. */
  get madeAt() {
    return this.#engine?.madeAt ?? null;
  }

  /** Whether the face speaks in that picture, by the sound that came with it; null: the sound does not tell. */
  get isHeard() {
    return this.#engine?.speaksAt(this.video.currentTime) ?? null;
  }

  /** What the engine knows of its way of playing; see engines.js. */
  get figures() {
    return this.#engine?.figures ?? {};
  }

  /** The renditions that can be chosen: {height, kbit}, best first; none where the player chooses alone. */
  get rungs() {
    return this.#engine?.rungs ?? [];
  }

  get latencySeconds() {
    return this.state === "live" ? latencySeconds(this.#engine?.madeAt ?? null, Date.now()) : null;
  }

  /** Runs until the page closes. */
  async run() {
    if (this.engineClass === null) {
      this.#giveUp("This browser has neither Media Source Extensions nor HLS of its own. An up-to-date one plays it.");
      return;
    }
    this.video.addEventListener("waiting", () => this.#onWaiting());
    this.video.addEventListener("loadeddata", () => { this.firstFrameMs ??= Math.round(performance.now()); });
    setInterval(() => this.#tick(), TICK_MS);
    for (;;) {
      await this.#untilFound();
      const { url } = this;
      await this.#play();
      if (url === this.url) await this.#rest(RETRY_MS); // something else that is wanted, at once
    }
  }

  /** Play something else from now on. */
  watch(url) {
    this.url = url;
    Object.assign(this, { status: null, reason: "" });
    this.#ended = false;
    this.#failures = 0;
    this.#finish();
    this.#hurry();
    this.#update();
  }

  /** The height that was chosen, null for automatic: it holds for every engine from now on. */
  get fixedRung() {
    return this.#rung;
  }

  /** Stay on the rendition of this height; null: whichever fits the network. */
  fixRung(height) {
    this.#rung = height;
    this.#engine?.fixRung(height);
  }

  play() {
    this.#wantsPlay = true;
    this.#torn = "pause"; // whatever it cost is shed
    if (this.#movedAt !== null) this.#engine?.goLive();
    // A refusal (no autoplay here) leaves the video paused, and the page says so and offers a button.
    this.video.play().catch(() => {});
  }

  pause() {
    this.#wantsPlay = false;
    this.video.pause();
  }

  /** The page is visible again: some systems pause video behind the viewer's back. */
  wake() {
    if (this.#wantsPlay && this.video.paused && this.#engine) this.play();
  }

  async #untilFound() {
    for (;;) {
      const { url } = this;
      const { status, ended } = await peek(url);
      if (url !== this.url) continue; // something else is wanted by now
      // A closed playlist would play its last seconds as if they were live: it is over. And after the
      // end nobody is there to be seen: a stream that is then gone (404) is still the one that ended.
      this.#ended = ended || (this.#ended && status !== 200);
      this.status = status;
      if (status === 200 && !ended) return;
      await this.#rest(this.#ended ? PEEK_MS : RETRY_MS);
    }
  }

  /** A pause that watch() cuts short. */
  #rest(ms) {
    return new Promise((resolve) => {
      this.#hurry = resolve;
      setTimeout(resolve, ms);
    });
  }

  /** Plays until the engine cannot go on. */
  async #play() {
    this.#movedAt = null;
    this.#attachedAt = performance.now();
    this.#torn = null;
    this.#suspicion = null;
    const over = new Promise((resolve) => { this.#finish = resolve; });
    this.#engine = new this.engineClass(this.video, this.url, {
      failed: (why, cause) => {
        if (cause === "media") this.#onUnplayable(why);
        this.#finish();
      },
      noted: (error) => this.#note(error),
    });
    this.#engine.fixRung(this.#rung);
    this.#engine.start();
    if (this.#wantsPlay) this.play();
    await over;
    this.#engine.stop();
    this.#engine = null;
    this.#update();
  }

  #onUnplayable(why) {
    this.#failures += 1;
    if (this.#failures < HOPELESS_FAILURES) return;
    this.#giveUp(`The stream is there, but this browser cannot play it (${why}).`);
  }

  #giveUp(reason) {
    this.reason = reason;
    this.#update();
  }

  #note(error) {
    this.errors.push({ atMs: Math.round(performance.now()), ...error });
    this.errors.splice(0, this.errors.length - KEPT_ERRORS);
    if (error.fatal) this.fatalErrors += 1;
  }

  #onWaiting() {
    if (this.#movedAt !== null && !this.video.seeking && !this.video.paused) this.#countStall();
  }

  #countStall() {
    if (!this.#inStall) this.stalls += 1;
    this.#stalledAt = performance.now();
    this.#inStall = true;
    this.#torn ??= "stall";
  }

  #tick() {
    if (this.#engine) this.#observe(performance.now());
    this.#update();
  }

  #update() {
    const before = this.state;
    this.state = judge({
      unplayable: this.reason,
      ended: this.#ended,
      attached: this.#engine !== null,
      paused: this.video.paused,
      moved: this.#movedAt !== null,
      stillMs: performance.now() - (this.#movedAt ?? 0),
    });
    if (this.state === "stalled" && before === "live") this.#countStall();
    this.changed();
  }

  #observe(now) {
    const { video } = this;
    if (video.ended) {
      this.#ended = true;
      return this.#finish();
    }
    const moved = video.currentTime !== this.#position && !video.paused && !video.seeking;
    this.#position = video.currentTime;
    if (moved && video.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA) this.#onMoved(now);
    else if (!video.paused) this.#suspect(now);
  }

  #onMoved(now) {
    if (this.#movedAt === null) {
      this.#catchUp.started(now);
      this.reason = "";
      this.#failures = 0;
    } else if (this.#torn !== null) {
      this.#catchUp.resumed(now, this.#torn === "pause");
    }
    this.#torn = null;
    this.#inStall = false;
    this.#movedAt = now;
    this.#suspicion = null;
    this.#shedLatency(now);
  }

  #shedLatency(now) {
    const { livePosition, liveDistance, grownSeconds, madeAt } = this.#engine;
    const forgiven = now - this.#stalledAt > CALM_MS ? grownSeconds : 0;
    const target = livePosition === null ? null : livePosition + forgiven;
    const silent = this.#isSilentUntil(target ?? this.#position, madeAt);
    const jump = this.#catchUp.look(now, this.#position, target, liveDistance - forgiven, this.video.buffered, silent);
    if (jump === null) return;
    this.video.currentTime = jump;
    this.jumps += 1;
  }

  /** All that a jump would leave out: as the service tells it, and as it is heard. */
  #isSilentUntil(target, madeAt) {
    const told = this.isSilent(madeAt);
    const heard = this.#engine.isSilent(this.#position, Math.max(target, this.#position));
    return told === null ? heard : told && heard !== false;
  }

  /** Still for long: if the stream itself goes on meanwhile, the fault is ours and we start over. */
  #suspect(now) {
    const since = this.#movedAt ?? this.#attachedAt + FIRST_PICTURE_MS;
    if (now - since < SUSPECT_AFTER_MS) return;
    if (this.#suspicion !== null && now - this.#suspicion.at < PEEK_MS) return;
    const earlier = this.#suspicion;
    const suspicion = { at: now, tail: null };
    this.#suspicion = suspicion;
    peek(this.url).then(({ status, ended, tail }) => {
      suspicion.tail = status === 200 && !ended ? tail : null;
      if (this.#suspicion !== suspicion) return;
      // Of what is over nothing more comes, also if the player stopped short of its end.
      this.#ended ||= ended;
      const goesOn = earlier?.tail && suspicion.tail && earlier.tail !== suspicion.tail;
      if (ended || goesOn) this.#finish();
    });
  }
}
