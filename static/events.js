// What the service tells of a stream as it happens: server-sent events, read from a plain answer.

const AGAIN_MS = 2000;
const GONE = new Set([401, 403, 404]);

/**
 * Cuts whole events off a text (HTML Living Standard, 9.2.6).
 * @param {string} text what has come so far
 * @returns {{events: {id: string, kind: string, facts: object}[], rest: string}}
 */
export function readEvents(text) {
  const blocks = text.split("\n\n");
  const rest = blocks.pop();
  return { events: blocks.map(readBlock).filter((event) => event !== null), rest };
}

function readBlock(block) {
  const fields = {};
  for (const line of block.split("\n")) {
    const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (name) fields[name] = value;
  }
  return fields.data === undefined ? null : { id: fields.id ?? "", kind: fields.event ?? "message", facts: JSON.parse(fields.data) };
}

/**
 * Follows a stream's events, with what is kept of earlier ones first, while the page can be seen:
 * over HTTP/1.1 a browser has six connections to a host, and a tab in the background needs none for this.
 */
export class Follower {
  #last = "";
  #stopped = false;
  #aborter = new AbortController();
  #wake = () => {};
  #seen = () => this.#onVisibility();

  /**
   * @param {Api} api
   * @param {string} stream
   * @param {(event: object) => void} told
   * @param {(known: boolean) => void} knows whether what was told is all that has happened until now
   */
  constructor(api, stream, told, knows) {
    Object.assign(this, { api, stream, told, knows });
  }

  async run() {
    document.addEventListener("visibilitychange", this.#seen);
    while (!this.#stopped) {
      if (document.hidden) await new Promise((resolve) => { this.#wake = resolve; });
      else if (!(await this.#listen())) await this.#rest(AGAIN_MS);
    }
  }

  stop() {
    this.#stopped = true;
    document.removeEventListener("visibilitychange", this.#seen);
    this.#aborter.abort();
    this.#wake();
  }

  /** Until it breaks off; returns whether to come back at once. */
  async #listen() {
    this.#aborter = new AbortController();
    let rest = "";
    try {
      const path = `streams/${encodeURIComponent(this.stream)}/events`;
      const reader = await this.api.open(path, this.#last || "0", this.#aborter.signal);
      this.knows(true);
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const cut = readEvents((rest + value).replaceAll("\r\n", "\n"));
        rest = cut.rest;
        cut.events.forEach((event) => this.#take(event));
      }
    } catch (error) {
      if (GONE.has(error.status)) this.#last = "";
    } finally {
      this.knows(false);
    }
    return false;
  }

  #take(event) {
    if (event.id) this.#last = event.id;
    this.told(event);
  }

  #rest(ms) {
    return new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, ms);
    });
  }

  #onVisibility() {
    if (document.hidden) this.#aborter.abort();
    this.#wake();
  }
}
