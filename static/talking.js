// Hold to talk: the microphone, for as long as the button is held.

import { element, tell, write } from "./dom.js";
import { openMicrophone } from "./microphone.js";

const LABELS = { asking: "Allow the microphone…", connecting: "Connecting…", live: "Speak now" };
const STOPPED = 1000;

/** Whether this browser lets this page listen: pages of plain http have a microphone on localhost only. */
export function canListen() {
  return window.isSecureContext && Boolean(navigator.mediaDevices?.getUserMedia) && "AudioWorkletNode" in window;
}

export class TalkButton {
  #microphone = null;
  #button = element("hold");

  /** @param {Studio} studio */
  constructor(studio) {
    this.studio = studio;
  }

  start() {
    const button = this.#button;
    element("talk").hidden = false;
    button.addEventListener("pointerdown", (event) => {
      button.setPointerCapture(event.pointerId);
      this.#open();
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) {
      button.addEventListener(name, () => this.stop());
    }
    button.addEventListener("keydown", (event) => {
      if (event.key !== " " && event.key !== "Enter") return;
      event.preventDefault();
      if (!event.repeat) this.#open();
    });
    button.addEventListener("keyup", () => this.stop());
    button.addEventListener("contextmenu", (event) => event.preventDefault()); // a long press on a phone
  }

  stop() {
    this.#microphone?.stop();
  }

  #open() {
    if (this.#microphone || this.#button.disabled) return;
    tell(element("speak-told"), "");
    const stream = encodeURIComponent(this.studio.playing.stream);
    const interrupt = element("interrupt").checked ? "?interrupt=1" : "";
    this.#microphone = openMicrophone({
      url: `api/streams/${stream}/pcm${interrupt}`,
      token: this.studio.api.token,
      onLevel: (level) => { element("level").value = Math.min(1, level * 4); }, // speech is about 0.1
      onState: (state, detail) => this.#show(state, detail),
    });
  }

  #show(state, detail) {
    this.#button.setAttribute("aria-pressed", String(state === "live"));
    write(element("hold-label"), LABELS[state] ?? "Hold to talk");
    if (state !== "ended") return;
    this.#microphone = null;
    element("level").value = 0;
    if (detail.code !== STOPPED) tell(element("speak-told"), `Not heard: ${detail.reason}.`, true);
  }
}
