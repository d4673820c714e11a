// Where a stream is silent, from its sound as it comes: what is silent takes next to no bits. For viewers
// whom nobody tells when the face speaks, and without decoding anything, which some browsers only do after a tap.

/**
 * bit/s. Digital silence is 6 bytes for an AAC frame of 1024 samples, 2250 bit/s at 48 kHz, and less in Opus;
 * sound is given 16 000 at the least (audio_kbit). Background noise is sound.
 */
const SILENT_BITS = 6000;
/** Some 20 s of parts: more than a player without stalls has loaded ahead. */
const KEPT = 100;
/** Frames of sound and of pictures do not end together. */
const APART_SECONDS = 0.05;

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
    this.#pieces.push({ piece, isSilent: bytes > 0 && bytes * 8 < SILENT_BITS * piece.duration });
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
}
