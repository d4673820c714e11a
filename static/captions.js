// A button for captions, where the stream has any. Tracks of the video are what Safari's own player
// and hls.js both make of a SUBTITLES rendition.

import { element } from "./dom.js";

const KINDS = new Set(["subtitles", "captions"]);

/** @param {HTMLVideoElement} video */
export function setUpCaptions(video) {
  const button = element("captions");
  const tracks = () => [...video.textTracks].filter((track) => KINDS.has(track.kind));
  let wanted = false;

  const show = () => {
    button.hidden = tracks().length === 0;
    button.setAttribute("aria-pressed", String(wanted));
  };
  const apply = () => {
    // One at a time: hls.js may have kept the track of an earlier start beside the new one.
    tracks().forEach((track, at, all) => {
      const mode = wanted && at === all.length - 1 ? "showing" : "disabled";
      if (track.mode !== mode) track.mode = mode;
    });
    show();
  };
  button.addEventListener("click", () => {
    wanted = !wanted;
    apply();
  });
  // Also after a new start of the player, and where the browser's own menu was used.
  video.textTracks.addEventListener("addtrack", apply);
  video.textTracks.addEventListener("removetrack", show);
  video.textTracks.addEventListener("change", () => {
    // hls.js hides its tracks before it takes them away with the rest of an engine: nobody chose that.
    if (tracks().length === 0) return;
    wanted = tracks().some((track) => track.mode === "showing");
    show();
  });
  show();
}
