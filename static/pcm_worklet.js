// Runs on the audio thread (AudioWorklet): mixes what is heard down to one channel and posts it as
// s16le messages of 20 ms, each with its loudness. Loaded by microphone.js.

const MESSAGE_SECONDS = 0.02;
const FULL_SCALE = 32767;

class Pcm extends AudioWorkletProcessor {
  #samples = new Float32Array(Math.round(sampleRate * MESSAGE_SECONDS));
  #filled = 0;

  /** A quantum (128 samples as a rule) is no divisor of a message: what is over begins the next. */
  process([channels]) {
    const length = channels[0]?.length ?? 0; // none while nothing is connected
    for (let at = 0; at < length; at += 1) {
      let sum = 0;
      for (const channel of channels) sum += channel[at];
      this.#samples[this.#filled] = sum / channels.length;
      this.#filled += 1;
      if (this.#filled === this.#samples.length) this.#post();
    }
    return true;
  }

  #post() {
    const message = new DataView(new ArrayBuffer(2 * this.#samples.length));
    let power = 0;
    this.#samples.forEach((value, at) => {
      const limited = Math.max(-1, Math.min(1, value));
      message.setInt16(2 * at, Math.round(limited * FULL_SCALE), true);
      power += limited * limited;
    });
    const level = Math.sqrt(power / this.#samples.length);
    this.port.postMessage({ pcm: message.buffer, level }, [message.buffer]);
    this.#filled = 0;
  }
}

registerProcessor("lipstream-pcm", Pcm);
