// What the network did for a stream, from the browser's own record of it (Resource Timing).

const WINDOW_MS = 10000;
const NAMES = { "http/1.1": "HTTP/1.1", h2: "HTTP/2", h3: "HTTP/3" };

/** @param {string} id of a protocol, as ALPN has it */
export function protocolName(id) {
  return NAMES[id] ?? id;
}

/**
 * Bits a second of the last seconds.
 * @param {{atMs: number, bytes: number}[]} loads in order
 * @param {number} nowMs
 * @returns {number|null} kbit/s; null while there is too little to tell
 */
export function kbitOf(loads, nowMs) {
  const recent = loads.filter(({ atMs }) => nowMs - atMs <= WINDOW_MS);
  if (recent.length < 2) return null;
  const bytes = recent.slice(1).reduce((sum, load) => sum + load.bytes, 0);
  return (bytes * 8) / Math.max(nowMs - recent[0].atMs, 1000);
}

/** Listens from start() on. A browser's own player tells nothing here: then there is nothing to show. */
export class Network {
  protocol = "";
  #loads = [];

  start() {
    const isMedia = ({ name }) => new URL(name).pathname.includes("/live/");
    const observer = new PerformanceObserver((list) => {
      list.getEntries().filter(isMedia).forEach((entry) => this.#add(entry));
      performance.clearResourceTimings(); // the record is short, and full it takes nothing more
    });
    observer.observe({ type: "resource", buffered: true });
  }

  get kbit() {
    return kbitOf(this.#loads, performance.now());
  }

  #add({ nextHopProtocol, responseEnd, transferSize, encodedBodySize }) {
    if (nextHopProtocol) this.protocol = protocolName(nextHopProtocol);
    this.#loads.push({ atMs: responseEnd, bytes: transferSize || encodedBodySize });
    this.#loads = this.#loads.filter(({ atMs }) => responseEnd - atMs <= WINDOW_MS);
  }
}
