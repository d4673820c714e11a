// A stream that is not there yet: whose face, at what quality, under what name. Start makes it, and plays it.

import { readPlayback } from "./address.js";
import { element, tell, write } from "./dom.js";
import { sayRefused } from "./face.js";
import { changesOf, labelOf, makeField, ownerOf } from "./form.js";

/** What most people want to choose, in this order, of whatever the service offers; the rest is folded away. */
const FRONT = ["engine", "preset", "frame_scale", "sampling_timesteps", "latency", "ladder", "video_kbit"];
/** Fields of their own on the page. */
const ELSEWHERE = new Set(["id", "source"]);
/** The service chooses. */
const ANY_ENGINE = "auto";
const LOOK_MS = 500;
const PATIENT_LOOKS = 20;
const OVER = new Set(["ending", "ended"]);

export class Draft {
  #fields = new Map();
  #busy = false;

  /** @param {Studio} studio */
  constructor(studio) {
    this.studio = studio;
  }

  start() {
    for (const id of ["who-presenter", "who-photo"]) element(id).addEventListener("change", () => this.#show());
    element("start").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    for (const place of ["fields", "more-fields"]) {
      for (const event of ["input", "change"]) element(place).addEventListener(event, () => this.#show());
    }
    this.#show();
  }

  /** Its panel comes to the front: what can be chosen is asked of the service, once. */
  async open() {
    if (this.#fields.size) return;
    try {
      const { components } = await this.studio.api.get("openapi.json");
      if (!this.#fields.size) this.#lay(components.schemas.Wish.properties);
    } catch (error) {
      this.#tell(error.message, true);
    }
  }

  /** Called when another stream is played. */
  changed() {
    write(element("replaced"), this.studio.playing.stream);
  }

  #lay(properties) {
    const engines = properties.engine?.enum ?? [];
    const names = Object.keys(properties).filter((name) => !ELSEWHERE.has(name));
    const front = FRONT.filter((name) => names.includes(name));
    const rest = names.filter((name) => !FRONT.includes(name));
    for (const [place, chosen] of [["fields", front], ["more-fields", rest]]) {
      element(place).replaceChildren(...chosen.map((name) => this.#field(name, properties[name], engines)));
    }
    this.#show();
  }

  #field(name, schema, engines) {
    const { node, raw } = makeField(name, schema);
    this.#fields.set(name, { schema, node, read: raw, owner: ownerOf(schema, engines) });
    return node;
  }

  /** What the chosen engine lacks is neither seen nor sent. */
  #hideWhatIsForOthers() {
    const engine = this.#fields.get("engine")?.read() ?? ANY_ENGINE;
    for (const { node, owner } of this.#fields.values()) {
      node.hidden = owner !== null && engine !== ANY_ENGINE && engine !== owner;
    }
  }

  get #changes() {
    const seen = [...this.#fields].filter(([, { node }]) => !node.hidden);
    return changesOf(new Map(seen.map(([name, { schema, read }]) => [name, { schema, raw: read() }])));
  }

  #show() {
    this.#hideWhatIsForOthers();
    const more = Object.entries(this.#changes).map(([name, value]) => `${labelOf(name).toLowerCase()} ${value}`);
    write(element("summary"), [this.studio.panels.face.who, ...more].join(" · "));
  }

  async #submit() {
    if (this.#busy) return;
    this.#busy = true;
    try {
      await this.#make();
    } catch (error) {
      this.#tell(error.message, true);
    } finally {
      this.#busy = false;
    }
  }

  async #make() {
    const image = await this.studio.panels.face.send(element("uploaded"), (text) => this.#tell(text));
    const source = { type: "avatar", ...(image && { image }) };
    const id = element("name").value.trim();
    const { api, playing } = this.studio;
    const made = await api.post("streams", { ...this.#changes, source, ...(id && { id }) });
    await this.#untilLive(made.id);
    this.#tell("");
    element("name").value = "";
    const isReplaced = element("replace").checked;
    element("replace").checked = false;
    this.studio.watch(readPlayback(made.playback.hls));
    if (isReplaced) await api.delete(`streams/${encodeURIComponent(playing.stream)}`);
  }

  /** A photo in which no face is found, say, is told only now: until then the old stream is shown. */
  async #untilLive(id) {
    const path = `streams/${encodeURIComponent(id)}`;
    for (let looks = 0; ; looks += 1) {
      const figures = await this.studio.api.get(path);
      if (figures.state === "live") return;
      if (figures.state === "failed") {
        await this.studio.api.delete(path);
        throw new Error(whyFailed(figures));
      }
      if (OVER.has(figures.state)) throw new Error("Somebody ended it before it was there.");
      this.#tell(looks < PATIENT_LOOKS ? "Looking at it, and starting…" : "Still starting: large networks take their time.");
      await new Promise((resolve) => { setTimeout(resolve, LOOK_MS); });
    }
  }

  #tell(text, isError = false) {
    tell(element("start-told"), text, isError);
  }
}

/** Of a stream that did not start: the last words of its process, without the place of a file of the server. */
export function whyFailed({ reason, processes }) {
  const words = processes.flatMap((process) => process.last_exit?.stderr ?? []).at(-1) ?? reason;
  const refused = sayRefused(words);
  return refused === words ? `It did not start: ${words.replace(/^lipstream: (\/\S+: )?/, "")}` : refused;
}
