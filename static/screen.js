// Where the picture can go besides the page: the whole screen, a window of its own, the lock screen.

import { element } from "./dom.js";

/** @param {HTMLVideoElement} video */
export function setUpScreens(video) {
  const stage = element("stage"); // the picture with its veil: the state stays in sight
  element("fullscreen").addEventListener("click", () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (stage.requestFullscreen) stage.requestFullscreen();
    else video.webkitEnterFullscreen?.(); // iPhone: only a video can
  });
  setUpFloating(video);
}

function setUpFloating(video) {
  const button = element("float");
  const standard = document.pictureInPictureEnabled === true;
  // Safari on the iPhone has only its own older way.
  const safari = !standard && video.webkitSupportsPresentationMode?.("picture-in-picture") === true;
  button.hidden = !standard && !safari;
  button.addEventListener("click", async () => {
    if (safari) {
      const floats = video.webkitPresentationMode === "picture-in-picture";
      return video.webkitSetPresentationMode(floats ? "inline" : "picture-in-picture");
    }
    if (document.pictureInPictureElement) return document.exitPictureInPicture();
    return video.requestPictureInPicture().catch(() => {}); // refused before the first picture
  });
}

/**
 * What the lock screen, headphones and media keys show and do.
 * @param {Session} session
 */
export function setUpMediaSession(session) {
  if (!("mediaSession" in navigator)) return;
  const { mediaSession } = navigator;
  mediaSession.setActionHandler("play", () => session.play());
  mediaSession.setActionHandler("pause", () => session.pause());
}

/** @param {string} stream its name stands on the lock screen */
export function nameMedia(stream) {
  if (!("mediaSession" in navigator)) return;
  const icon = new URL("static/icons/512.png", document.baseURI).href;
  const artwork = [{ src: icon, sizes: "512x512", type: "image/png" }];
  navigator.mediaSession.metadata = new MediaMetadata({ title: stream, artist: "lipstream", artwork });
}
