// The page: reads the address, starts a session, shows what the session sees.

import { formatLatency } from "./latency.js";
import { Session } from "./session.js";
import { explain, WORDS } from "./state.js";

const STREAM_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
const TOKEN = /^[A-Za-z0-9_-]{28}$/;
const DELAY_TEXT_EVERY_MS = 1000;

const element = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const stream = STREAM_ID.test(query.get("stream") ?? "") ? query.get("stream") : "demo";
const token = TOKEN.test(query.get("token") ?? "") ? `t/${query.get("token")}/` : "";
const address = new URL(`live/${stream}/${token}index.m3u8`, document.baseURI).href;
const video = element("video");
const player = element("player");
const session = new Session(video, address, query.get("engine"), show);

/** Writes only what differs: an aria-live region speaks at every write. */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

let delayWrittenAt = -Infinity;

function show() {
  const { state } = session;
  player.dataset.state = state;
  write(element("state"), WORDS[state]);
  write(element("headline"), state === "connecting" ? "Connecting…" : WORDS[state]);
  write(element("detail"), explain(state, { stream, status: session.status, reason: session.reason }));
  const paused = state === "paused";
  element("resume").hidden = !paused;
  element("pause").classList.toggle("paused", paused);
  element("pause").setAttribute("aria-label", paused ? "Play" : "Pause");
  showFigures(performance.now());
}

function showFigures(now) {
  const calm = session.state === "live" && now - delayWrittenAt < DELAY_TEXT_EVERY_MS;
  if (calm) return;
  delayWrittenAt = now;
  write(element("delay"), formatLatency(session.latencySeconds));
  const size = video.videoWidth ? `${video.videoWidth} × ${video.videoHeight}` : "";
  write(element("facts"), [size, session.engine].filter(Boolean).join(" · "));
}

function showSound() {
  const heard = !video.muted;
  // Large and coloured until the first tap: nobody should wonder why a talking face is silent.
  if (heard) element("sound").classList.add("quiet");
  element("sound").classList.toggle("heard", heard);
  write(element("sound-label"), heard ? "Sound on" : "Tap for sound");
}

function toggleSound() {
  video.muted = !video.muted;
  // Some browsers pause a video that is unmuted; the tap itself is the permission to go on.
  if (video.paused && session.state !== "paused") session.play();
}

function toggleFullscreen() {
  const stage = element("stage"); // the picture with its veil: the state stays in sight
  if (document.fullscreenElement) document.exitFullscreen();
  else if (stage.requestFullscreen) stage.requestFullscreen();
  else video.webkitEnterFullscreen?.(); // iPhone: only a video can
}

async function copyAddress() {
  const field = element("address");
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    document.execCommand("copy"); // plain HTTP from another machine has no clipboard API
  }
  write(element("copy"), "Copied");
  write(element("copied"), "Stream address copied");
  setTimeout(() => { write(element("copy"), "Copy"); write(element("copied"), ""); }, 2000);
}

function fillShare() {
  element("address").value = address;
  element("ffplay").textContent = `ffplay -fflags nobuffer ${address}`;
}

/** Read-only figures, for tests and for the curious at the console. */
const figures = ["state", "latencySeconds", "engine", "fatalErrors", "stalls", "jumps", "firstFrameMs"];
const diagnostics = Object.defineProperties({}, {
  ...Object.fromEntries(figures.map((name) => [name, { enumerable: true, get: () => session[name] }])),
  errors: { enumerable: true, get: () => structuredClone(session.errors) },
});
Object.defineProperty(window, "lipstream", { value: Object.freeze(diagnostics) });

element("sound").addEventListener("click", toggleSound);
element("pause").addEventListener("click", () => (session.state === "paused" ? session.play() : session.pause()));
element("resume").addEventListener("click", () => session.play());
element("fullscreen").addEventListener("click", toggleFullscreen);
element("copy").addEventListener("click", copyAddress);
video.addEventListener("volumechange", showSound);
document.addEventListener("visibilitychange", () => { if (!document.hidden) session.wake(); });

video.muted = true; // the attribute alone is not enough where the browser remembers a choice
fillShare();
showSound();
show();
session.run();
