// The panel that gives the face its words: a text, a sound file, silence. What becomes of them stands below.

import { element, make, tell, write } from "./dom.js";
import { takeFiles } from "./drop.js";
import { formatBytes, formatSeconds, refuseFile } from "./limits.js";

const STATUS_WORDS = { waiting: "waits", talking: "now", said: "said", stopped: "stopped", lost: "lost" };

export class SpeakPanel {
  #names = new Map(); // utterance -> the file it came from
  #upload = null;
  #busy = false;

  /** @param {Studio} studio */
  constructor(studio) {
    this.studio = studio;
  }

  start() {
    const { limits } = this.studio;
    element("text").maxLength = limits.text_characters;
    element("voice").placeholder = limits.voice;
    const most = `${formatBytes(limits.max_speech_bytes)}, ${formatSeconds(limits.max_audio_seconds)}`;
    write(element("sound-limit"), `or drop it here: WAV, FLAC, OGG, Opus, MP3, up to ${most}`);
    element("text").addEventListener("input", () => this.#count());
    element("text").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) element("say").requestSubmit();
    });
    element("say").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#sayText();
    });
    takeFiles(element("sound-drop"), element("sound-file"), (file) => this.#saySound(file));
    element("cancel").addEventListener("click", () => this.#upload?.cancel());
    element("hush").addEventListener("click", () => this.#hush());
    this.#count();
    this.#showUpload();
  }

  /** Another stream is played: what was said elsewhere is no news here. */
  changed() {
    tell(element("speak-told"), "");
    this.#upload?.cancel();
  }

  /** Called with every look at the player. */
  show() {
    const { speech, session } = this.studio;
    const rows = speech.list(session.madeAt);
    const list = element("queue");
    const wanted = rows.map((row) => [row.utterance, row.status, this.#wordsOf(row)].join(" "));
    if (list.dataset.shown === wanted.join("\n")) return;
    list.dataset.shown = wanted.join("\n");
    list.replaceChildren(...rows.map((row) => this.#row(row)));
  }

  /** @param {string} why it cannot speak; "" if it can */
  allow(why) {
    element("mute").hidden = why === "";
    write(element("mute"), why);
    for (const id of ["text", "voice", "say-it", "sound-file", "interrupt", "hush", "hold"]) element(id).disabled = why !== "";
    element("sound-drop").classList.toggle("off", why !== "");
  }

  #row(row) {
    const length = row.seconds === null ? "" : formatSeconds(row.seconds);
    return make("li", { class: row.status },
      make("span", { class: "words" }, this.#wordsOf(row)),
      make("span", { class: "status" }, [STATUS_WORDS[row.status], length].filter(Boolean).join(", ")));
  }

  #wordsOf({ utterance, words }) {
    return words || this.#names.get(utterance) || "A sound";
  }

  #count() {
    const left = this.studio.limits.text_characters - element("text").value.length;
    write(element("text-count"), `${left} characters left`);
  }

  get #path() {
    const interrupt = element("interrupt").checked ? "?interrupt=1" : "";
    return `streams/${encodeURIComponent(this.studio.playing.stream)}/speech${interrupt}`;
  }

  async #sayText() {
    const text = element("text").value.trim();
    if (!text) return this.#tell("There is nothing to say yet: type something.", true);
    const voice = element("voice").value.trim();
    if (this.#busy) return undefined;
    this.#busy = true;
    this.#tell("Finding the words…");
    try {
      this.#toldPlace(await this.studio.api.post(this.#path, voice ? { text, voice } : { text }));
      element("text").value = "";
      this.#count();
    } catch (error) {
      this.#tell(error.message, true);
    } finally {
      this.#busy = false;
    }
    return undefined;
  }

  async #saySound(file) {
    const refused = refuseFile(file, { kind: "audio", bytes: this.studio.limits.max_speech_bytes });
    if (refused) return this.#tell(refused, true);
    if (this.#upload) return this.#tell("One file after the other: the last is still being sent.", true);
    this.#tell(`Sending ${file.name}…`);
    this.#upload = this.studio.api.send(this.#path, "audio", file, (share) => this.#progressed(share));
    this.#progressed(0);
    this.#showUpload();
    try {
      const place = await this.#upload.answer;
      this.#names.set(place.utterance, file.name);
      this.#toldPlace(place);
    } catch (error) {
      if (error.name === "AbortError") this.#tell("Cancelled: it was not sent.");
      else this.#tell(error.message, true);
    } finally {
      this.#upload = null;
      this.#showUpload();
    }
    return undefined;
  }

  #progressed(share) {
    element("sent").value = share;
    if (share === 1) this.#tell("Sent. The service is reading it…");
  }

  #showUpload() {
    element("sending").hidden = this.#upload === null;
  }

  async #hush() {
    try {
      const stream = encodeURIComponent(this.studio.playing.stream);
      await this.studio.api.delete(`streams/${stream}/speech`);
      this.#tell("Silence.");
    } catch (error) {
      this.#tell(error.message, true);
    }
  }

  #toldPlace({ starts_in_seconds: wait, duration_seconds: length }) {
    const when = wait < 1 ? "now" : `in ${formatSeconds(wait)}`;
    this.#tell(`It will be said ${when}, for ${formatSeconds(length)}.`);
  }

  #tell(text, isError = false) {
    tell(element("speak-told"), text, isError);
  }
}
