// What a viewer would notice of any player, from its video element alone.

const EVERY_MS = 50;
/** The media clock standing still this long is a stall, whatever the player calls it. */
const STALL_MS = 250;
const START_MS = 15_000;

const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.floor(sorted.length / 2)] : null;
}

function pictures(video) {
  const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
  return totalVideoFrames - droppedVideoFrames;
}

/**
 * Waits for the first movement and then watches.
 *
 * @param {HTMLVideoElement} video
 * @param {object} player
 * @param {string} player.version
 * @param {() => Date|null} player.madeAt  wall clock of the shown picture, as the player maps it
 * @param {string[]} player.errors         filled by the player's own error events
 * @param {number} seconds
 */
export async function measure(video, { version, madeAt, errors }, seconds) {
  while (!(video.currentTime > 0 && video.videoWidth > 0)) {
    if (performance.now() > START_MS) throw new Error(`no picture in ${START_MS / 1000} s: ${errors.join(", ")}`);
    await sleep(EVERY_MS);
  }
  let position = video.currentTime;
  const started = performance.now();
  const before = pictures(video);
  const latencies = [];
  let movedAt = started;
  let stalls = 0;
  let played = 0;
  while (performance.now() - started < seconds * 1000) {
    await sleep(EVERY_MS);
    const now = performance.now();
    if (video.currentTime !== position) {
      if (now - movedAt >= STALL_MS) stalls += 1;
      // A jump is no playing: the media clock runs at most as fast as the wall clock, and a little.
      played += Math.min(video.currentTime - position, (now - movedAt) / 1000 + 0.1);
      position = video.currentTime;
      movedAt = now;
      const date = madeAt();
      if (date) latencies.push((Date.now() - date.getTime()) / 1000);
    }
  }
  if (performance.now() - movedAt >= STALL_MS) stalls += 1;
  return {
    version,
    started_seconds: started / 1000,
    played_seconds: played,
    stalls,
    pictures: pictures(video) - before,
    latency_seconds: median(latencies),
    errors: video.error ? [...errors, video.error.message] : errors,
  };
}
