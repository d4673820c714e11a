// Whether this page may steer the service, and with what. A viewer who may not sees the player alone.

import { Api, ApiError } from "./api.js";

const KEPT_AS = "lipstream.control";
const FRAGMENT = /^#control=(.+)$/;

/**
 * How the service takes control at this address: "open", "token", or "closed".
 * A plain file server, which knows nothing of it, is closed.
 */
async function asked() {
  try {
    const response = await fetch(new URL("access", document.baseURI), { cache: "no-store" });
    return response.ok ? (await response.json()).control : "closed";
  } catch {
    return null; // not reached: ask again
  }
}

/**
 * A token from the link that brought us here, which then leaves the address bar; else a kept one.
 * Where a browser keeps nothing for this page, the link's own still holds, until the page is left.
 */
export function takeToken() {
  const found = FRAGMENT.exec(location.hash);
  const given = found ? decoded(found[1]) : "";
  if (found) history.replaceState(null, "", location.pathname + location.search);
  if (given) keepToken(given, false);
  return given || (stored(() => sessionStorage.getItem(KEPT_AS) ?? localStorage.getItem(KEPT_AS)) ?? "");
}

/** Cookies that are blocked, or a frame without an origin, make the very name of a storage throw (HTML, 12.2.2). */
function stored(action) {
  try {
    return action();
  } catch (error) {
    if (error instanceof DOMException) return null;
    throw error;
  }
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a percent sign of its own
  }
}

/** For this tab, or for this device. */
export function keepToken(token, onThisDevice) {
  stored(() => (onThisDevice ? localStorage : sessionStorage).setItem(KEPT_AS, token));
}

export function forgetToken() {
  stored(() => sessionStorage.removeItem(KEPT_AS));
  stored(() => localStorage.removeItem(KEPT_AS));
}

/**
 * @param {string} token empty: none is known
 * @returns {Promise<{mode: "open"|"token"|"closed"|null, api: Api|null, limits: object|null}>}
 *          api: null while control is not ours; mode null: the service did not answer
 * @throws {ApiError} the token was not taken, or too many wrong ones were tried
 */
export async function enter(token) {
  const mode = await asked();
  if (mode === null || mode === "closed" || (mode === "token" && !token)) return { mode, api: null, limits: null };
  const api = new Api(mode === "token" ? token : "");
  try {
    return { mode, api, limits: await api.get("limits") };
  } catch (error) {
    if (error instanceof ApiError && error.status === 0) return { mode: null, api: null, limits: null };
    throw error;
  }
}
