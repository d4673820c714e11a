// Looking at a stream from outside the player: is it there, is it over, does it move?

/**
 * One look, by way of the multivariant playlist into the first variant's media playlist.
 * @param {string} url of the multivariant playlist
 * @returns {Promise<{status: number, ended: boolean, tail: string}>} status: of HTTP, 0 when no
 *          answer came; tail: the media playlist's last line, which changes when it gains media
 */
export async function peek(url) {
  const top = await get(url);
  const first = lines(top.text).find((line) => !line.startsWith("#"));
  if (top.status !== 200 || first === undefined) return { status: top.status, ended: false, tail: "" };
  const media = await get(new URL(first, top.url).href);
  const rows = lines(media.text);
  return { status: media.status, ended: rows.includes("#EXT-X-ENDLIST"), tail: rows.at(-1) ?? "" };
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
