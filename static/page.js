// The page: reads the address, starts a session, and opens the studio to those who may use it.

import { enter, forgetToken, keepToken, takeToken } from "./access.js";
import { pageUrl, playlistUrl, readAddress } from "./address.js";
import { ApiError } from "./api.js";
import { setUpCaptions } from "./captions.js";
import { element } from "./dom.js";
import { setUpKey } from "./key.js";
import { Player } from "./player.js";
import { RungChoice } from "./rung.js";
import { nameMedia, setUpMediaSession, setUpScreens } from "./screen.js";
import { Session } from "./session.js";
import { setUpShare, showShare } from "./share.js";
import { Speech } from "./speech.js";
import { Stats } from "./stats.js";
import { Studio } from "./studio.js";

const ASK_AGAIN_MS = 3000;

let playing = readAddress(location.search);
let studio = null;
let knowsSpeech = false;
const speech = new Speech();
const video = element("video");
const engine = new URLSearchParams(location.search).get("engine");
const session = new Session(video, playlistUrl(playing, document.baseURI), engine, show);
const player = new Player(session, () => playing, () => toldTalking() ?? session.isHeard);
const stats = new Stats(session);
const rung = new RungChoice(session);

/** Whether the face speaks in the picture that is shown, by the stream's events; null: nobody tells. */
function toldTalking(shown = session.madeAt) {
  return knowsSpeech ? speech.talkingAt(shown) : null;
}

session.isSilent = (shown) => {
  const talking = toldTalking(shown);
  return talking === null ? null : !talking;
};

function show() {
  player.show();
  rung.show();
  studio?.show();
}

/** Play another stream; the address bar then names it, and going back comes back. */
function watch(wanted) {
  history.pushState(null, "", pageUrl(wanted, document.baseURI));
  follow(wanted);
}

function follow(wanted) {
  playing = wanted;
  knowsSpeech = false;
  session.watch(playlistUrl(playing, document.baseURI));
  showStream();
  studio?.changed(playing);
}

function showStream() {
  showShare(playing);
  nameMedia(playing.stream);
}

async function open(token) {
  const { mode, api, limits } = await enter(token);
  if (api !== null && studio === null) {
    const knows = (known) => { knowsSpeech = known; };
    studio = new Studio({ api, limits, session, speech, knows, watch });
    element("sign-in").hidden = true;
    studio.start(playing);
  }
  return mode;
}

/** The viewer is asked for a token only if he presses the button. */
async function openWhereAllowed() {
  const token = takeToken();
  for (;;) {
    try {
      const mode = await open(token);
      if (mode === "token" && studio === null) offerKey();
      if (mode !== null) return;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) {
        forgetToken();
        offerKey();
        return;
      }
    }
    await new Promise((resolve) => { setTimeout(resolve, ASK_AGAIN_MS); });
  }
}

function offerKey() {
  setUpKey(async (token, keep) => {
    await open(token);
    keepToken(token, keep);
  });
}

/** Read-only figures, for tests and for the curious at the console. */
const figures = ["state", "latencySeconds", "engine", "fatalErrors", "stalls", "jumps", "firstFrameMs"];
const diagnostics = Object.defineProperties({}, {
  ...Object.fromEntries(figures.map((name) => [name, { enumerable: true, get: () => session[name] }])),
  errors: { enumerable: true, get: () => structuredClone(session.errors) },
  shown: { enumerable: true, get: () => player.shown },
  stats: { enumerable: true, get: () => structuredClone(stats.seen) },
});
Object.defineProperty(window, "lipstream", { value: Object.freeze(diagnostics) });

window.addEventListener("popstate", () => follow(readAddress(location.search)));
setUpScreens(video);
setUpMediaSession(session);
setUpCaptions(video);
setUpShare();
showStream();
player.start();
stats.start();
rung.start();
session.run();
openWhereAllowed();
