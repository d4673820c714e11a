// The two ways to play HLS, behind one shape:
//   start(), stop(), goLive() after a pause, madeAt -> Date|null, livePosition -> seconds|null,
//   liveDistance -> seconds behind live at which that is, grownSeconds -> how much of it is for stalls that were,
//   isSilent(from, to) -> boolean|null, speaksAt(moment) -> boolean|null, seconds on the media clock,
//   rungs -> [{height, kbit}], fixRung(height|null), figures -> {targetSeconds, edgeSeconds, bandwidthKbit, rung, auto}
// and two reports: failed(why, "network"|"media") when the engine cannot go on; noted(error) for the record.

import { Quiet } from "./quiet.js";
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
  // Half-lives, in seconds of loading. A second of media is in hand: with hls.js's own 3 and 9 what the
  // network gave a minute ago still counts when that is used up.
  abrEwmaFastLive: 1,
  abrEwmaSlowLive: 3,
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

/**
 * What the network can be trusted to give after a stall: hls.js learns it only from parts that are
 * there, and never gives one up for the lower of two rungs, so it would stall again and again.
 *
 * @param {{bytes: number, ms: number, firstMs: number, seconds: number}} load the last: what has come of it, since it
 *        was asked for and since its first byte; its length as media
 * @param {number} estimate  bit/s, hls.js's own
 * @param {number} least     bit/s of the lowest rung
 * @returns {number|null}    bit/s; null: it came as fast as it plays, or not at all, and says nothing of the rate
 */
export function rateAfterStall({ bytes, ms, firstMs, seconds }, estimate, least) {
  if (bytes === 0 || ms < seconds * 1000) return null;
  const rate = Math.max((bytes * 8000) / Math.max(firstMs, 1), least * ROOM);
  return rate < estimate ? rate : null;
}

/**
 * Whether a playlist is of another run of the stream, as after a restart of the service: its numbers and those
 * of the one before do not meet. hls.js would place its media by the difference, and soon stand still.
 *
 * @param {{startSN: number, endSN: number}|null} before  the first and the last media sequence number
 * @param {{startSN: number, endSN: number}} now
 */
export function isOfAnotherRun(before, now) {
  return before !== null && (now.startSN > before.endSN + 1 || now.endSN < before.startSN);
}

const GONE = new Set([404, 410]);
const UNREADABLE = new Set([
  Hls.ErrorDetails.MANIFEST_LOAD_ERROR,
  Hls.ErrorDetails.MANIFEST_LOAD_TIMEOUT,
  Hls.ErrorDetails.MANIFEST_PARSING_ERROR,
  Hls.ErrorDetails.LEVEL_PARSING_ERROR,
]);
const MEDIA_RECOVERY_APART_MS = 5000;
/** What a rung needs beyond its bit rate, for hls.js to take it: it trusts 0.95 of its estimate. */
const ROOM = 1.1;
const NETWORK_RETRIES = 4;

export class HlsJsEngine {
  static label = "hls.js";
  #hls = new Hls(CONFIG);
  #networkRetries = 0;
  #recoveredAt = -Infinity;
  #timer = 0;
  #captionsTimer = 0;
  #height = null;
  #quiet = new Quiet();
  #loading = null; // the newest part, or segment, of the picture
  #listed = null; // the numbers of the newest playlist of pictures

  constructor(video, url, { failed, noted }) {
    Object.assign(this, { video, url, failed, noted });
  }

  start() {
    this.#hls.on(Hls.Events.ERROR, (_, data) => this.#onError(data));
    this.#hls.on(Hls.Events.MANIFEST_PARSED, () => { if (this.#height !== null) this.fixRung(this.#height); });
    this.#hls.on(Hls.Events.LEVEL_LOADED, (_, { details }) => this.#onPlaylist(details));
    this.#hls.on(Hls.Events.FRAG_BUFFERED, () => { this.#networkRetries = 0; });
    this.#hls.on(Hls.Events.FRAG_LOADING, (_, { frag, part }) => {
      if (frag.type === "main" && frag.sn !== "initSegment") this.#loading = part ?? frag;
    });
    this.#hls.on(Hls.Events.FRAG_LOADED, (_, { frag, part, payload }) => {
      if (payload && frag.type === "audio" && frag.sn !== "initSegment") this.#quiet.add(part ?? frag, payload);
    });
    this.#hls.loadSource(this.url);
    this.#hls.attachMedia(this.video);
  }

  stop() {
    clearTimeout(this.#timer);
    clearTimeout(this.#captionsTimer);
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

  isSilent(from, to) {
    return this.#quiet.between(from, to);
  }

  /** Only a stream that can be spoken through has captions, and all that is heard of it the face says. */
  speaksAt(moment) {
    return this.#hls.subtitleTracks.length > 0 ? this.#quiet.soundsAt(moment) : null;
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
    const { details, fatal, error } = data;
    console.debug("hls.js:", details, error); // the whole of it, and where that was
    const [reason] = (error?.message ?? "").split("\n"); // whole playlists may follow
    this.noted({ details, fatal, status: data.response?.code ?? null, reason });
    if (details === Hls.ErrorDetails.BUFFER_STALLED_ERROR) this.#onStall();
    if (data.event === Hls.Events.SUBTITLE_TRACK_LOADED) this.#onCaptionsBroken();
    if (!fatal) return;
    if (data.type === Hls.ErrorTypes.NETWORK_ERROR) this.#onNetworkError(data);
    else if (data.type === Hls.ErrorTypes.MEDIA_ERROR) this.#onMediaError(data);
    else this.failed(data.details, "media");
  }

  #onPlaylist({ startSN, endSN }) {
    const before = this.#listed;
    this.#listed = { startSN, endSN };
    if (isOfAnotherRun(before, this.#listed)) this.failed("another run of the stream", "network");
  }

  #onStall() {
    const hls = this.#hls;
    if (this.#loading === null || !hls.autoLevelEnabled || hls.levels.length < 2) return;
    const { stats: { loaded, loading }, duration } = this.#loading;
    const end = loading.end || performance.now();
    const load = { bytes: loaded, ms: end - loading.start, firstMs: end - loading.first, seconds: duration };
    const rate = rateAfterStall(load, hls.bandwidthEstimate, Math.min(...hls.levels.map(({ bitrate }) => bitrate)));
    if (rate !== null) hls.bandwidthEstimate = rate;
  }

  /**
   * hls.js threw over a playlist of captions, and asks for no other: it begins anew, without what it has
   * kept. 1.7.4 keeps a delta update that comes when its captions are off by then as it is, with holes
   * for what was skipped, throws, and throws again over the first playlist after they were turned on.
   */
  #onCaptionsBroken() {
    const hls = this.#hls;
    // A request is held for no longer: what was on its way has come, or has thrown as well.
    const restMs = 1000 * (hls.latestLevelDetails?.targetduration ?? 1);
    clearTimeout(this.#captionsTimer);
    this.#captionsTimer = setTimeout(() => {
      for (const track of hls.subtitleTracks) track.details = undefined;
      const chosen = hls.subtitleTrack;
      hls.subtitleTrack = chosen;
    }, restMs);
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
    Object.assign(this, { video, url, failed, noted });
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

  isSilent() {
    return null; // nor is it steered
  }

  speaksAt() {
    return null; // its sound does not come by here
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
    this.noted({ details, fatal: true, status: null, reason: message });
    this.failed(details, code === MediaError.MEDIA_ERR_NETWORK ? "network" : "media");
  }
}
