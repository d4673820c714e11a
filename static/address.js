// What the page plays, in its own address: ?stream=ID&token=VIEWER, and where everything of a stream is found.

const STREAM_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
const TOKEN = /^[A-Za-z0-9_-]{28}$/;
const PLAYBACK = /^\/live\/([^/]+)\/(?:t\/([A-Za-z0-9_-]{28})\/)?index\.m3u8$/;
const DEFAULT_STREAM = "demo";

/**
 * @param {string} search of an address
 * @returns {{stream: string, token: string}} token: of a viewer, empty where none is given
 */
export function readAddress(search) {
  const query = new URLSearchParams(search);
  const [stream, token] = [query.get("stream") ?? "", query.get("token") ?? ""];
  return {
    stream: STREAM_ID.test(stream) ? stream : DEFAULT_STREAM,
    token: TOKEN.test(token) ? token : "",
  };
}

/** The same, from what the control API calls `playback.hls`; null if it is none. */
export function readPlayback(path) {
  const found = PLAYBACK.exec(path);
  return found && { stream: found[1], token: found[2] ?? "" };
}

/** Of the multivariant playlist. */
export function playlistUrl({ stream, token }, base) {
  return new URL(`live/${stream}/${token ? `t/${token}/` : ""}index.m3u8`, base).href;
}

/** Of this page, playing that; without what opens the studio. */
export function pageUrl({ stream, token }, base) {
  const url = new URL(".", base);
  url.searchParams.set("stream", stream);
  if (token) url.searchParams.set("token", token);
  return url.href;
}

/** Whether an address leads other devices to themselves. */
export function isLoopback(hostname) {
  return hostname === "localhost" || hostname === "[::1]" || /^127\./.test(hostname);
}
