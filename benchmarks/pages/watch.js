// Runs in the page of a player for some seconds: reads the test card's time code from each picture
// that the video element shows, and counts what a viewer would notice.

const [seconds, done] = arguments;
const video = document.querySelector("video");
const canvas = document.createElement("canvas");
// The code's two rows are the top ninth of the picture: 32 by 2 blocks of 10 by 10 pixels here.
[canvas.width, canvas.height] = [320, 20];
const context = canvas.getContext("2d", { willReadFrequently: true });
const seen = { pictures: [], unread: 0, waiting: 0, frozenMs: 0, decodeMs: [], fetched: [], dropped: 0 };
const BLOCK = 10;
const MIDDLE = [3, 7];

function isWhite(data, row, column) {
  let sum = 0;
  for (let y = row * BLOCK + MIDDLE[0]; y < row * BLOCK + MIDDLE[1]; y += 1) {
    for (let x = column * BLOCK + MIDDLE[0]; x < column * BLOCK + MIDDLE[1]; x += 1) {
      sum += data[4 * (y * canvas.width + x) + 1];
    }
  }
  return sum > 128 * (MIDDLE[1] - MIDDLE[0]) ** 2;
}

/** @returns {number|null} milliseconds since 1970 at which the picture was drawn */
function drawnAt(data) {
  const bytes = new Array(8).fill(0);
  for (let bit = 0; bit < 64; bit += 1) {
    bytes[bit >> 3] = (bytes[bit >> 3] << 1) | isWhite(data, bit >> 5, bit & 31);
  }
  let crc = 0xffff; // CRC-16/CCITT
  for (const byte of bytes.slice(0, 6)) {
    crc ^= byte << 8;
    for (let i = 0; i < 8; i += 1) crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
  }
  if (crc !== bytes[6] * 256 + bytes[7]) return null;
  return Math.floor(bytes.slice(0, 6).reduce((sum, byte) => sum * 256 + byte, 0) / 64);
}

let previous = performance.now();
let running = true;

function look(_now, { processingDuration }) {
  if (!running) return;
  context.drawImage(video, 0, 0, video.videoWidth, video.videoHeight / 9, 0, 0, canvas.width, canvas.height);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const now = Date.now(); // the pixels are here
  const drawn = drawnAt(data);
  if (drawn === null) seen.unread += 1;
  else seen.pictures.push([drawn, now]);
  if (processingDuration !== undefined) seen.decodeMs.push(processingDuration * 1000);
  seen.frozenMs = Math.max(seen.frozenMs, performance.now() - previous);
  previous = performance.now();
  video.requestVideoFrameCallback(look);
}

const before = video.getVideoPlaybackQuality().droppedVideoFrames;
video.addEventListener("waiting", () => { seen.waiting += running && !video.seeking; });
// Not the page's own buffer of entries: a page may empty that.
const wall = (at) => performance.timeOrigin + at;
const fetches = new PerformanceObserver((list) => {
  for (const { name, startTime, responseStart, responseEnd } of list.getEntries()) {
    seen.fetched.push([name, wall(startTime), wall(responseStart), wall(responseEnd)]);
  }
});
fetches.observe({ type: "resource" });
video.requestVideoFrameCallback(look);
setTimeout(() => {
  running = false;
  seen.frozenMs = Math.max(seen.frozenMs, performance.now() - previous); // it may stand still now
  seen.dropped = video.getVideoPlaybackQuality().droppedVideoFrames - before;
  // Our own page keeps an account of its own; hls.js alone has none.
  const { stalls = null, jumps = null } = window.lipstream ?? {};
  done({ ...seen, stalls, jumps });
}, seconds * 1000);
