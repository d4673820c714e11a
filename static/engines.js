// The two ways to play HLS, behind one shape:
//   start(), stop(), goLive() after a pause, madeAt -> Date|null, livePosition -> seconds|null,
//   liveDistance -> seconds behind live at which that is, grownSeconds -> how much of it is for stalls that were,
//   rungs -> [{height, kbit}], fixRung(height|null), figures -> {targetSeconds, edgeSeconds, bandwidthKbit, rung, auto}
// and two reports: failed(why, "network"|"media") when the engine cannot go on; noted(error) for the record.

import Hls from "./vendor/hls.min.mjs";

const HLS_TYPE = "application/vnd.apple.mpegurl";

/**
 * hls.js wherever classic Media Source Extensions exist: Firefox, Chrome, Edge, desktop Safari, iPad.
 * There we control how far behind live the player sits and how it recovers; desktop Safari's own
 * player needs HTTP/2 over TLS for low latency, Chrome's (since 142) knows no parts at all.
 * The iPhone has only ManagedMediaSource; its own player is the one that does AirPlay, picture in
 * picture and the lock screen, so it takes that. "?engine=" overrides, for comparing.
 *
 * @param {HTMLVideoElement} video
 * @param {string|null} wanted
 * @returns {typeof HlsJsEngine|typeof NativeEngine|null}
 */
export function chooseEngine(video, wanted) {
  const native = video.canPlayType(HLS_TYPE) !== "" ? NativeEngine : null;
  const hlsJs = Hls.isSupported() ? HlsJsEngine : null;
  if (wanted === "native") return native;
  if (wanted === "hls.js") return hlsJs;
  return ("MediaSource" in window ? hlsJs : null) ?? native ?? hlsJs;
}

const CONFIG = {
  lowLatencyMode: true,
  // A talking face keeps its pace: faster or slower playback damages lip sync.
  maxLiveSyncPlaybackRate: 1,
  // Our parts are fMP4, passed through as they are: a worker would only start later.
  enableWorker: false,
  // A browser's own controls (full screen, lock screen) then say live and show no end.
  liveDurationInfinity: true,
  backBufferLength: 10,
  // Begin with the best picture, without a test fragment: a change of rung in the first second, with
  // half a second in the buffer, is a stall. A slow network steps down after the first parts.
  abrEwmaDefaultEstimate: 1_500_000,
  testBandwidth: false,
  fragLoadPolicy: patient(Hls.DefaultConfig.fragLoadPolicy),
  playlistLoadPolicy: patient(Hls.DefaultConfig.playlistLoadPolicy),
  // liveSyncDuration* stay unset: the target is then the playlist's PART-HOLD-BACK.
};

/** The same policy with short pauses: at the live edge a retry in eight seconds is too late. */
function patient(policy) {
  const { default: base } = policy;
  const errorRetry = { ...base.errorRetry, maxNumRetry: 6, retryDelayMs: 250, maxRetryDelayMs: 1000 };
  return { default: { ...base, errorRetry } };
}

const GONE = new Set([404, 410]);
const UNREADABLE = new Set([
  Hls.ErrorDetails.MANIFEST_LOAD_ERROR,
  Hls.ErrorDetails.MANIFEST_LOAD_TIMEOUT,
  Hls.ErrorDetails.MANIFEST_PARSING_ERROR,
  Hls.ErrorDetails.LEVEL_PARSING_ERROR,
]);
const MEDIA_RECOVERY_APART_MS = 5000;
const NETWORK_RETRIES = 4;

export class HlsJsEngine {
  static label = "hls.js";
  #hls = new Hls(CONFIG);
  #networkRetries = 0;
  #recoveredAt = -Infinity;
  #timer = 0;
  #height = null;

  constructor(video, url, { failed, noted }) {
    this.video = video;
    this.url = url;
    this.failed = failed;
    this.noted = noted;
  }

  start() {
    this.#hls.on(Hls.Events.ERROR, (_, data) => this.#onError(data));
    this.#hls.on(Hls.Events.MANIFEST_PARSED, () => { if (this.#height !== null) this.fixRung(this.#height); });
    this.#hls.on(Hls.Events.FRAG_BUFFERED, () => { this.#networkRetries = 0; });
    this.#hls.loadSource(this.url);
    this.#hls.attachMedia(this.video);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#hls.destroy();
  }

  goLive() {} // the session jumps to livePosition

  get madeAt() {
    return this.#hls.playingDate;
  }

  get livePosition() {
    return this.#hls.liveSyncPosition;
  }

  get liveDistance() {
    return this.#hls.targetLatency ?? 0;
  }

  /** What hls.js has added to its target for stalls: a second for each, up to a target duration, for good. */
  get grownSeconds() {
    const details = this.#hls.latestLevelDetails;
    const holdBack = details?.partHoldBack || details?.holdBack;
    return holdBack && this.#hls.targetLatency !== null ? Math.max(0, this.#hls.targetLatency - holdBack) : 0;
  }

  get rungs() {
    return this.#hls.levels.map(({ height, bitrate }) => ({ height, kbit: Math.round(bitrate / 1000) }));
  }

  /** From the next part on; what is loaded already is played. */
  fixRung(height) {
    this.#height = height;
    const found = this.#hls.levels.findIndex((level) => level.height === height);
    // -1, hls.js's own word for automatic, is also what is right for a height that is not there.
    if (this.#hls.levels.length) this.#hls.loadLevel = found;
  }

  get figures() {
    const hls = this.#hls;
    return {
      targetSeconds: hls.targetLatency,
      edgeSeconds: hls.latency,
      bandwidthKbit: hls.bandwidthEstimate / 1000,
      rung: this.rungs[hls.currentLevel] ?? null,
      auto: hls.autoLevelEnabled,
    };
  }

  #onError(data) {
    this.noted({ details: data.details, fatal: data.fatal, status: data.response?.code ?? null });
    if (!data.fatal) return;
    if (data.type === Hls.ErrorTypes.NETWORK_ERROR) this.#onNetworkError(data);
    else if (data.type === Hls.ErrorTypes.MEDIA_ERROR) this.#onMediaError(data);
    else this.failed(data.details, "media");
  }

  #onNetworkError(data) {
    // What is gone or garbled does not come back: a restarted stream is found from the top again.
    const gone = GONE.has(data.response?.code) || UNREADABLE.has(data.details);
    if (gone || this.#networkRetries >= NETWORK_RETRIES) return this.failed(data.details, "network");
    clearTimeout(this.#timer);
    const wait = Math.min(500 * 2 ** this.#networkRetries, 1000);
    this.#timer = setTimeout(() => this.#hls.startLoad(), wait);
    this.#networkRetries += 1;
  }

  #onMediaError(data) {
    const hopeless = data.details === Hls.ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR;
    const again = performance.now() - this.#recoveredAt < MEDIA_RECOVERY_APART_MS;
    if (hopeless || again) return this.failed(data.details, "media");
    this.#recoveredAt = performance.now();
    this.#hls.recoverMediaError();
  }
}

export class NativeEngine {
  static label = "native";
  #listening = new AbortController();

  constructor(video, url, { failed, noted }) {
    this.video = video;
    this.url = url;
    this.failed = failed;
    this.noted = noted;
  }

  start() {
    this.video.addEventListener("error", () => this.#onError(), { signal: this.#listening.signal });
    this.video.src = this.url;
  }

  stop() {
    this.#listening.abort();
    this.video.removeAttribute("src");
    this.video.load();
  }

  goLive() {
    const { seekable } = this.video;
    if (seekable.length) this.video.currentTime = seekable.end(seekable.length - 1);
  }

  get madeAt() {
    // WebKit only: the wall clock at media time 0, from PROGRAM-DATE-TIME.
    const zero = this.video.getStartDate?.().getTime() ?? NaN;
    return Number.isNaN(zero) ? null : new Date(zero + this.video.currentTime * 1000);
  }

  get livePosition() {
    return null; // such a player keeps its distance by itself
  }

  get liveDistance() {
    return 0;
  }

  get grownSeconds() {
    return 0;
  }

  get rungs() {
    return []; // and chooses by itself
  }

  fixRung() {}

  get figures() {
    return {};
  }

  #onError() {
    const { code, message } = this.video.error;
    const details = message || `media error ${code}`;
    this.noted({ details, fatal: true, status: null });
    this.failed(details, code === MediaError.MEDIA_ERR_NETWORK ? "network" : "media");
  }
}
