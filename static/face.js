// The panel with the face: the presenter or a photo, for a stream that is to be made, or for the one that plays.

import { element, tell, write } from "./dom.js";
import { takeFiles } from "./drop.js";
import { formatBytes, refuseFile } from "./limits.js";

const PREVIEW_PIXELS = 480;
/** In place of an upload: who is drawn without one. */
const PRESENTER = "presenter";
const NO_FACE = "No face was found in this photo. Choose an upright portrait, seen from the front.";

/** A refusal in words for who has chosen the photo: the search for a face has details of its own. */
export function sayRefused(words) {
  return /no face found/i.test(words) ? NO_FACE : words;
}

export class FacePanel {
  #photo = null;
  #busy = false;
  #awaited = null; // the change that the service has promised: {change, notes}
  #worn = null; // the newest that a picture has: {change, date_ms}

  /** @param {Studio} studio */
  constructor(studio) {
    this.studio = studio;
  }

  start() {
    const { limits } = this.studio;
    const most = `${formatBytes(limits.max_upload_bytes)}, ${Math.round(limits.max_image_pixels / 1e6)} megapixels`;
    write(element("photo-limit"), `or drop it here: JPEG, PNG, WebP, up to ${most}`);
    takeFiles(element("photo-drop"), element("photo-file"), (file) => this.#takePhoto(file));
    for (const id of ["who-presenter", "who-photo"]) element(id).addEventListener("change", () => this.#show());
    element("wear-it").addEventListener("click", () => this.#wear());
    this.#show();
  }

  /** Another stream is played. */
  changed() {
    this.#awaited = null;
    write(element("wearer"), this.studio.playing.stream);
    this.#tell("");
  }

  /** @param {boolean} can whether the stream that plays has a face that can be another */
  allow(can) {
    element("wear-it").hidden = !can;
  }

  /** Of the stream's events. */
  told(kind, facts) {
    if (kind === "face_changed") this.#worn = facts;
  }

  /** Called with every look at the player: a change is told when it is seen. */
  show() {
    if (this.#awaited === null || this.#worn?.change !== this.#awaited.change) return;
    const { madeAt, state } = this.studio.session;
    // Of a player that does not tell it is known only that the picture moves.
    if (madeAt === null ? state !== "live" : madeAt.getTime() < this.#worn.date_ms) return;
    this.#tell([`${this.studio.playing.stream} has its new face.`, ...this.#awaited.notes.map((note) => `${note}.`)].join(" "));
    this.#awaited = null;
  }

  get who() {
    return element("who-photo").checked ? "Your photo" : "The presenter";
  }

  /**
   * Sends the photo, if it is one.
   * @param {HTMLProgressElement} bar
   * @param {(text: string) => void} say
   * @returns {Promise<string|null>} what the service calls it; null: the presenter
   * @throws {Error} none is chosen yet, or it was refused
   */
  async send(bar, say) {
    if (!element("who-photo").checked) return null;
    if (!this.#photo) throw new Error("Choose a photo first, or take the presenter.");
    Object.assign(bar, { hidden: false, value: 0 });
    say("Sending the photo…");
    try {
      const { answer } = this.studio.api.send("uploads", "image", this.#photo, (share) => { bar.value = share; });
      return (await answer).path;
    } finally {
      bar.hidden = true;
    }
  }

  #show() {
    element("photo-drop").hidden = !element("who-photo").checked;
  }

  async #takePhoto(file) {
    const refused = refuseFile(file, { kind: "image", bytes: this.studio.limits.max_upload_bytes });
    if (refused) return this.#tell(refused, true);
    try {
      await preview(file, element("preview"));
    } catch {
      return this.#tell("This file cannot be shown as a picture. Try a JPEG or a PNG.", true);
    }
    this.#photo = file;
    write(element("photo-label"), "Choose another");
    return this.#tell("");
  }

  /** The stream that plays gets this face; while it is looked at, and if it is refused, the old one goes on. */
  async #wear() {
    if (this.#busy) return;
    this.#busy = true;
    const { stream } = this.studio.playing;
    const say = (text, isError) => { if (stream === this.studio.playing.stream) this.#tell(text, isError); };
    try {
      const image = await this.send(element("face-sent"), say);
      say("Looking at it…");
      const awaited = await this.studio.api.put(`streams/${encodeURIComponent(stream)}/face`, { image: image ?? PRESENTER });
      say("It will be seen in a moment.");
      if (stream === this.studio.playing.stream) this.#awaited = awaited;
    } catch (error) {
      say(sayRefused(error.message), true);
    } finally {
      this.#busy = false;
    }
  }

  #tell(text, isError = false) {
    tell(element("face-told"), text, isError);
  }
}

/** Draws a picture file small, upright; throws if the browser cannot read it. */
async function preview(file, canvas) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, PREVIEW_PIXELS / Math.max(bitmap.width, bitmap.height));
  canvas.width = Math.round(bitmap.width * scale);
  canvas.height = Math.round(bitmap.height * scale);
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  canvas.hidden = false;
  bitmap.close();
}
