// The viewer's own microphone into a stream: WS /api/streams/<id>/pcm (docs/speech.md).
//
//   import { openMicrophone } from "./microphone.js";
//
//   const microphone = openMicrophone({
//     url: "api/streams/demo/pcm",  // http(s) or ws(s), may be relative to the page, may have ?interrupt=1
//     token: "",                    // of the control API, where one is set
//     onLevel: (level) => {},       // root mean square of each 20 ms, 0 to 1
//     onState: (state, detail) => {},
//   });
//   microphone.stop();              // as often as wished; onState("ended") follows once
//
// States, each at most once and in this order; after "ended" nothing follows:
//
//   asking      the browser asks whether it may listen
//   connecting  it may; the service has not answered yet
//   live        what is heard is sent; detail: { utterance, jitter_ms }, as events name it
//   ended       detail: { code, reason }: 1000 is our own stop(), others are in docs/speech.md; code 0: it
//               never came to a connection: permission denied, no microphone, or no secure origin (a page of
//               plain http has a microphone on localhost only)
//
// A closed page, or a device that is pulled out, ends it as stop() does. It does not connect again by itself:
// who speaks should see that he is not heard.

const PROTOCOL = "lipstream.pcm";
const NORMAL = 1000;
/** On a slow network sound goes before delay does: what could not be sent by then is left out. */
const UNSENT_SECONDS = 0.4;
const HIGHEST_RATE = 48000;
const VOICE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

const REASONS = {
  NotAllowedError: "the browser was not allowed to listen",
  NotFoundError: "no microphone was found",
  NotReadableError: "the microphone is used by another program",
};

/**
 * @param {{url: string, token?: string, onLevel?: (level: number) => void,
 *          onState?: (state: string, detail: object) => void}} options
 * @returns {{stop: () => void}}
 */
export function openMicrophone({ url, token = "", onLevel = () => {}, onState = () => {} }) {
  const microphone = new Microphone(url, token, onLevel, onState);
  microphone.run();
  return { stop: () => microphone.end(NORMAL, "stopped") };
}

class Microphone {
  #url;
  #token;
  #onLevel;
  #onState;
  #tracks = [];
  #context = null;
  #socket = null;
  #live = false;
  #ended = false;

  constructor(url, token, onLevel, onState) {
    this.#url = url;
    this.#token = token;
    this.#onLevel = onLevel;
    this.#onState = onState;
  }

  async run() {
    try {
      await this.#open();
    } catch (error) {
      this.end(0, REASONS[error.name] ?? error.message);
    }
  }

  end(code, reason) {
    if (this.#ended) return;
    this.#ended = true;
    for (const track of this.#tracks) track.stop(); // the browser's sign that it listens goes out
    this.#context?.close();
    this.#socket?.close(NORMAL);
    this.#onState("ended", { code, reason });
  }

  async #open() {
    if (!navigator.mediaDevices || !window.AudioWorkletNode) {
      throw new Error("a microphone needs https, or a page of localhost, and an up-to-date browser");
    }
    this.#onState("asking", {});
    const stream = await navigator.mediaDevices.getUserMedia({ audio: VOICE });
    this.#tracks = stream.getTracks();
    if (this.#ended) return this.#tracks.forEach((track) => track.stop());
    this.#tracks.forEach((track) => { track.onended = () => this.end(NORMAL, "the microphone is gone"); });
    this.#context = listeningContext();
    await this.#context.audioWorklet.addModule(new URL("pcm_worklet.js", import.meta.url));
    if (this.#ended) return;
    this.#connect(stream);
  }

  #connect(stream) {
    this.#onState("connecting", {});
    const address = socketAddress(this.#url, this.#context.sampleRate);
    this.#socket = new WebSocket(address, [PROTOCOL, ...offered(this.#token)]);
    this.#socket.onmessage = ({ data }) => this.#begin(JSON.parse(data), stream);
    this.#socket.onclose = ({ code, reason }) => this.end(code, reason || "the service cannot be reached");
  }

  #begin(told, stream) {
    if (this.#ended || this.#live) return;
    this.#live = true;
    const node = new AudioWorkletNode(this.#context, "lipstream-pcm", { numberOfOutputs: 0 });
    node.port.onmessage = ({ data }) => this.#send(data);
    this.#context.createMediaStreamSource(stream).connect(node);
    this.#context.resume(); // some browsers start it suspended, although a tap has led here
    this.#onState("live", told);
  }

  #send({ pcm, level }) {
    if (this.#ended) return;
    this.#onLevel(level);
    if (this.#socket.readyState !== WebSocket.OPEN) return; // its close is on its way here
    const most = UNSENT_SECONDS * this.#context.sampleRate * 2;
    if (this.#socket.bufferedAmount < most) this.#socket.send(pcm);
  }
}

/** At the device's own rate, where the service takes it: a conversion less. */
function listeningContext() {
  const context = new AudioContext({ latencyHint: "interactive" });
  if (context.sampleRate <= HIGHEST_RATE) return context;
  context.close();
  return new AudioContext({ latencyHint: "interactive", sampleRate: HIGHEST_RATE });
}

/** @returns {URL} */
export function socketAddress(url, rate) {
  const address = new URL(url, document.baseURI);
  address.protocol = address.protocol.replace("http", "ws");
  address.searchParams.set("rate", rate);
  return address;
}

/** A page cannot give a WebSocket a header: the token goes as a protocol, in letters that one may have. */
export function offered(token) {
  if (!token) return [];
  const bytes = new TextEncoder().encode(token);
  const base64 = btoa(String.fromCharCode(...bytes));
  return [`bearer.${base64.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}`];
}
