// The figures of the player, once a second, for who wants to know how it goes.

import { element, make, write } from "./dom.js";
import { Network } from "./network.js";
import { Plot } from "./plot.js";

const LOOK_MS = 1000;
const MINUTE = 60;
const SHOWN_ERRORS = 3;

const seconds = (value) => (value === null || value === undefined || !Number.isFinite(value) ? "–" : `${value.toFixed(2)} s`);
const kbit = (value) => (value === null || value === undefined || !Number.isFinite(value) ? "–" : `${Math.round(value)} kbit/s`);

/**
 * What stands in the overlay: names and values.
 * @param {object} seen
 * @returns {[string, string][]}
 */
export function rowsOf(seen) {
  const rung = seen.rung ? `${seen.rung.height} lines` : seen.size || "–";
  return [
    ["Glass to glass", seconds(seen.latencySeconds)],
    ["Behind the edge", seconds(seen.edgeSeconds)],
    ["Its target", seconds(seen.targetSeconds)],
    ["Buffer", seconds(seen.bufferSeconds)],
    ["Stalls, jumps", `${seen.stalls}, ${seen.jumps}`],
    ["Pictures dropped", `${seen.dropped} of ${seen.frames}`],
    ["Rendition", seen.auto === undefined ? rung : `${rung}, ${seen.auto ? "auto" : "fixed"}`],
    ["Received", kbit(seen.kbit)],
    ["Possible", kbit(seen.bandwidthKbit)],
    ["Protocol", [seen.protocol, seen.engine].filter(Boolean).join(", ") || "–"],
  ];
}

/** Media ahead of the position; 0 where it stands in a gap. */
export function bufferAhead(position, buffered) {
  for (let i = 0; i < buffered.length; i += 1) {
    if (buffered.start(i) <= position && position <= buffered.end(i)) return buffered.end(i) - position;
  }
  return 0;
}

export class Stats {
  #network = new Network();
  #latency = new Plot("Latency", { count: MINUTE, least: 1, unit: "s" });
  #rate = new Plot("Received", { count: MINUTE, least: 100, unit: "kbit/s" });
  #values = new Map();
  #errors = make("p", { class: "errors" });

  /** @param {Session} session */
  constructor(session) {
    this.session = session;
  }

  start() {
    this.#network.start();
    const button = element("figures");
    const panel = element("stats");
    button.addEventListener("click", () => {
      panel.hidden = !panel.hidden;
      button.setAttribute("aria-pressed", String(!panel.hidden));
      this.#show();
    });
    this.#build(panel);
    setInterval(() => this.#look(), LOOK_MS);
  }

  /** All that is known now; also what tests read. */
  get seen() {
    const { session } = this;
    const { video } = session;
    const quality = video.getVideoPlaybackQuality?.();
    return {
      ...session.figures,
      latencySeconds: session.latencySeconds,
      bufferSeconds: bufferAhead(video.currentTime, video.buffered),
      stalls: session.stalls,
      jumps: session.jumps,
      dropped: quality?.droppedVideoFrames ?? 0,
      frames: quality?.totalVideoFrames ?? 0,
      size: video.videoWidth ? `${video.videoWidth} × ${video.videoHeight}` : "",
      kbit: this.#network.kbit,
      protocol: this.#network.protocol,
      engine: session.engine,
    };
  }

  #build(panel) {
    const list = make("dl");
    for (const [name] of rowsOf(this.seen)) {
      const value = make("dd");
      this.#values.set(name, value);
      list.append(make("dt", {}, name), value);
    }
    panel.append(list, this.#latency.node, this.#rate.node, this.#errors);
  }

  /** Also while it is hidden: who opens it wants to see what has led here. */
  #look() {
    this.#latency.add(this.session.latencySeconds);
    this.#rate.add(this.#network.kbit);
    this.#show();
  }

  #show() {
    if (element("stats").hidden) return;
    for (const [name, value] of rowsOf(this.seen)) write(this.#values.get(name), value);
    this.#latency.show();
    this.#rate.show();
    const last = this.session.errors.slice(-SHOWN_ERRORS).map(errorText);
    write(this.#errors, last.length ? `Last errors: ${last.join("; ")}` : "No errors.");
  }
}

function errorText({ atMs, details, fatal, status }) {
  const ago = Math.round((performance.now() - atMs) / 1000);
  return [details, status ? `HTTP ${status}` : "", fatal ? "fatal" : "", `${ago} s ago`].filter(Boolean).join(", ");
}
