// What may be sent, seen before it is: pure functions.

const UNITS = ["bytes", "kB", "MB", "GB"];

/** @param {number} bytes */
export function formatBytes(bytes) {
  let [value, unit] = [bytes, 0];
  while (value >= 1000 && unit < UNITS.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value >= 100 || unit === 0 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** @param {number} seconds */
export function formatSeconds(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  const minutes = seconds / 60;
  return `${Number.isInteger(minutes) ? minutes : minutes.toFixed(1)} min`;
}

/**
 * Why a file need not be sent; "" if it may.
 * @param {{size: number, type: string}} file
 * @param {{kind: "audio"|"image", bytes: number}} limit
 */
export function refuseFile(file, { kind, bytes }) {
  const noun = kind === "audio" ? "sound" : "picture";
  if (file.size === 0) return "This file is empty.";
  // By its name's ending, as browsers tell it: the service looks at the content.
  if (file.type && !file.type.startsWith(`${kind}/`) && file.type !== "application/ogg") {
    return `This is no ${noun}: ${file.type}.`;
  }
  if (file.size > bytes) return `This file has ${formatBytes(file.size)}; ${formatBytes(bytes)} is the limit.`;
  return "";
}
