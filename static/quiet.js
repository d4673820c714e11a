// Where a stream is silent and where it sounds, from its sound as it comes: what is silent takes next to no bits. For
// viewers whom nobody tells when the face speaks, and without decoding anything, which some browsers only do after a tap.

/**
 * bit/s. Digital silence is 6 bytes for an AAC frame of 1024 samples, 2250 bit/s at 48 kHz, and less in Opus;
 * sound is given 16 000 at the least (audio_kbit). Background noise is sound.
 */
const SILENT_BITS = 6000;
/** Some 20 s of parts: more than a player without stalls has loaded ahead. */
const KEPT = 100;
/** Frames of sound and of pictures do not end together. */
const APART_SECONDS = 0.05;
/** Who speaks draws breath: words so near to each other are said in one go. */
const BREATH_SECONDS = 0.7;
/** A longer piece tells that it sounds, but not when. */
const SHARP_SECONDS = 0.5;

/** Bytes of samples in fragmented MP4: the content of its mdat boxes (ISO/IEC 14496-12, 8.1.1); 0 if it has none. */
export function sampleBytes(payload) {
  const view = new DataView(payload);
  let found = 0;
  for (let at = 0; at + 8 <= view.byteLength;) {
    const size = view.getUint32(at);
    if (size < 8) break; // of 64 bits, or to the end: a part needs neither
    if (view.getUint32(at + 4) === 0x6d646174) found += size - 8;
    at += size;
  }
  return found;
}

export class Quiet {
  #pieces = [];

  /**
   * @param {{start: number, end: number, duration: number}} piece seconds on the media clock, which the player may
   *        still set right
   * @param {ArrayBuffer} payload
   */
  add(piece, payload) {
    const bytes = sampleBytes(payload);
    const isSilent = bytes > 0 && bytes * 8 < SILENT_BITS * piece.duration;
    this.#pieces.push({ piece, isSilent, isSound: bytes > 0 && !isSilent });
    this.#pieces.splice(0, this.#pieces.length - KEPT);
  }

  /** Whether all of it is silent; null where not all of it is loaded. */
  between(from, to) {
    const touched = this.#pieces.filter(({ piece }) => piece.start < to && piece.end > from);
    if (touched.some(({ isSilent }) => !isSilent)) return false;
    touched.sort((one, other) => one.piece.start - other.piece.start);
    let known = from;
    for (const { piece } of touched) if (piece.start <= known + APART_SECONDS) known = Math.max(known, piece.end);
    return touched.length > 0 && known + APART_SECONDS >= to ? true : null;
  }

  /**
   * Whether something is heard at a moment, or was and will be within a breath.
   * @param {number} moment seconds on the media clock
   * @returns {boolean|null} null: what is there is not loaded, or a piece too long to tell
   */
  soundsAt(moment) {
    const sounds = this.#pieces.filter(({ piece, isSound }) => isSound && piece.duration <= SHARP_SECONDS);
    const silences = this.#pieces.filter(({ isSilent }) => isSilent);
    const isHere = ({ piece }) => piece.start <= moment && moment < piece.end;
    if (sounds.some(isHere)) return true;
    if (!silences.some(isHere)) return null;
    const before = Math.max(...sounds.map(({ piece }) => piece.end).filter((end) => end <= moment));
    const after = Math.min(...sounds.map(({ piece }) => piece.start).filter((start) => start > moment));
    return after - before <= BREATH_SECONDS;
  }
}
