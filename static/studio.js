// The part of the page that steers: it exists only where the service lets this page do so.

import { Draft } from "./draft.js";
import { keepPage } from "./drop.js";
import { element } from "./dom.js";
import { Follower } from "./events.js";
import { FacePanel } from "./face.js";
import { SpeakPanel } from "./speak.js";
import { StreamsPanel } from "./streams.js";
import { setUpTabs } from "./tabs.js";
import { canListen, TalkButton } from "./talking.js";

const ASK_MS = 3000;
/** A stream that has a sound of its own will not lose it. */
const FOR_GOOD = 409;
const NOBODY = "There is nobody yet who could speak.";
const OF_A_DRAFT = new Set(["face", "quality"]);

export class Studio {
  #follower = null;

  /**
   * @param {object} page
   * @param {Api} page.api
   * @param {object} page.limits
   * @param {Session} page.session
   * @param {Speech} page.speech
   * @param {(known: boolean) => void} page.knows whether `speech` is all that has happened
   * @param {(playing: object) => void} page.watch
   */
  constructor(page) {
    Object.assign(this, page);
    this.panels = {
      speak: new SpeakPanel(this),
      face: new FacePanel(this),
      draft: new Draft(this),
      streams: new StreamsPanel(this),
    };
    this.talk = new TalkButton(this);
  }

  start(playing) {
    this.playing = playing;
    this.openPanel = setUpTabs(element("tabs"), (panel) => this.#opened(panel));
    keepPage();
    this.panels.speak.start();
    this.panels.face.start();
    this.panels.streams.start();
    if (canListen()) this.talk.start();
    element("studio").hidden = false;
    element("main").classList.add("with-studio");
    this.changed(playing);
    this.panels.draft.start();
  }

  /** Another stream is played. */
  changed(playing) {
    this.playing = playing;
    this.#leave();
    this.talk.stop();
    this.panels.speak.changed();
    this.panels.face.changed();
    this.panels.draft.changed();
  }

  /** Called with every look at the player. */
  show() {
    const isThere = this.session.status === 200 && this.session.state !== "ended";
    if (isThere && this.#follower === null) this.#meet();
    if (!isThere && this.#follower !== null) this.#leave();
    this.panels.speak.show();
    this.panels.face.show();
  }

  #opened(panel) {
    const isDraft = OF_A_DRAFT.has(panel);
    element("start").hidden = !isDraft;
    if (isDraft) this.panels.draft.open();
    this.panels.streams.open(panel === "streams");
  }

  /** Not before it is found: until then there is nothing to follow. */
  #meet() {
    const { stream } = this.playing;
    const follower = new Follower(
      this.api, stream,
      (event) => { if (this.#follower === follower) this.#told(event); },
      (known) => { if (this.#follower === follower) this.knows(known); },
    );
    this.#follower = follower;
    follower.run();
    this.#askWhetherItSpeaks(follower);
  }

  #told({ kind, facts }) {
    this.speech.add(kind, facts);
    this.panels.face.told(kind, facts);
  }

  #leave() {
    this.#follower?.stop();
    this.#follower = null;
    this.knows(false);
    this.speech.clear();
    this.#allow(NOBODY);
  }

  /** @param {string} why nobody is there who could speak, or be given another face; "" if there is */
  #allow(why) {
    this.panels.speak.allow(why);
    this.panels.face.allow(why === "");
  }

  /** A camera has a sound of its own: then the panel says so, and offers nothing. */
  async #askWhetherItSpeaks(follower) {
    while (this.#follower === follower) {
      let refused = null;
      try {
        await this.api.get(`streams/${encodeURIComponent(follower.stream)}/speech`);
      } catch (error) {
        refused = error;
      }
      if (this.#follower !== follower) return;
      this.#allow(refused?.message ?? "");
      if (refused === null || refused.status === FOR_GOOD) return;
      await new Promise((resolve) => { setTimeout(resolve, ASK_MS); });
    }
  }
}
