// Looking at a stream from outside the player: is it there, is it over, does it move?

/** What a service answers while a stream starts up. */
const STARTING = 503;

/**
 * One look, by way of the multivariant playlist into the first variant's media playlist.
 * @param {string} url of the multivariant playlist
 * @returns {Promise<{status: number, ended: boolean, tail: string}>} status: of HTTP, 0 when no
 *          answer came, 200 only with something to play; tail: the media playlist's last line, which changes when it gains media
 */
export async function peek(url) {
  const top = await get(url);
  const first = lines(top.text).find((line) => !line.startsWith("#"));
  if (top.status !== 200 || first === undefined) return { status: top.status, ended: false, tail: "" };
  const media = await get(new URL(first, top.url).href);
  const rows = lines(media.text);
  const ended = rows.includes("#EXT-X-ENDLIST");
  // Parts alone are no start: hls.js calls a playlist without one whole segment empty, and fails.
  const startable = ended || rows.some((row) => row.startsWith("#EXTINF:"));
  const status = media.status === 200 && !startable ? STARTING : media.status;
  return { status, ended, tail: rows.at(-1) ?? "" };
}

async function get(url) {
  try {
    const response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(8000) });
    const text = response.ok ? await response.text() : "";
    return { status: response.status, text, url: response.url };
  } catch {
    return { status: 0, text: "", url };
  }
}

function lines(text) {
  return text.split(/\r?\n/).filter((line) => line !== "");
}
