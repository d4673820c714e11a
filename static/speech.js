// What a face says and when, from the events of its stream: pure, no DOM, no clock of its own.
//
// All times are EXT-X-PROGRAM-DATE-TIME in milliseconds since 1970, the same for events and pictures:
// "talking" is said of the picture that is being shown, not of the moment the news came.

/** Beyond its length an utterance is over, whatever became of the event that should have told so. */
const SLACK_MS = 2000;
const KEPT = 60;

export class Speech {
  #said = new Map(); // utterance -> {seconds, words, isAsked, from, until, outcome}

  /** Forget everything: another stream. */
  clear() {
    this.#said.clear();
  }

  /**
   * @param {string} kind of the event
   * @param {object} facts
   */
  add(kind, facts) {
    const atMs = facts.date_ms ?? (facts.at ?? 0) * 1000;
    if (kind === "speech_queued") this.#queued(facts);
    else if (kind === "speech_started") this.#started(facts.utterance, atMs);
    else if (kind === "speech_finished") this.#end(facts.utterance, atMs, "said");
    else if (kind === "speech_interrupted") this.#end(facts.utterance, facts.started ? atMs : null, "stopped");
    else if (kind === "speech_lost") this.#end(facts.utterance, atMs, "lost");
    else if (kind === "source" && facts.source === "waiting") this.#endAll(atMs);
  }

  /**
   * @param {Date|null} shown when the picture on the screen was made
   * @returns {boolean|null} null: unknown
   */
  talkingAt(shown) {
    if (shown === null) return null;
    const now = shown.getTime();
    return [...this.#said.values()].some((one) => one.from !== null && one.from <= now && now < end(one));
  }

  /** Of what was asked for: the newest that is over, what is being said, what waits; `seconds` may be null. */
  list(shown, most = 6) {
    const now = shown?.getTime() ?? null;
    const all = [...this.#said].filter(([, one]) => one.isAsked)
      .map(([utterance, one]) => ({ utterance, seconds: one.seconds, words: one.words, status: statusOf(one, now) }));
    const open = all.filter(({ status }) => status === "waiting" || status === "talking");
    const over = all.filter(({ status }) => status !== "waiting" && status !== "talking");
    const room = Math.max(0, most - open.length);
    return [...over.slice(Math.max(0, over.length - room)), ...open];
  }

  #queued(facts) {
    const words = facts.live ? "A voice, live" : (facts.cues ?? []).map((cue) => cue.text).join(" ");
    const seconds = facts.duration_seconds ?? null; // nobody knows how long somebody will speak live
    this.#said.set(facts.utterance, { seconds, words, isAsked: true, from: null, until: null, outcome: null });
    while (this.#said.size > KEPT) this.#said.delete(this.#said.keys().next().value);
  }

  /** One at a time: who begins has ended all before. A clip that repeats begins again under its name. */
  #started(utterance, atMs) {
    this.#endAll(atMs);
    const known = this.#said.get(utterance) ?? { seconds: null, words: "", isAsked: false };
    this.#said.set(utterance, { ...known, from: atMs, until: null, outcome: null });
  }

  #end(utterance, atMs, outcome) {
    const one = this.#said.get(utterance);
    if (one) Object.assign(one, { until: one.until ?? atMs, outcome });
  }

  #endAll(atMs) {
    for (const one of this.#said.values()) {
      if (one.from !== null && one.until === null) Object.assign(one, { until: atMs, outcome: "said" });
    }
  }
}

function end({ from, until, seconds }) {
  return until ?? (seconds === null ? Infinity : from + seconds * 1000 + SLACK_MS);
}

function statusOf(one, now) {
  if (one.from === null) return one.outcome ?? "waiting";
  if (now === null || now < one.from) return "waiting";
  return now < end(one) ? "talking" : one.outcome ?? "said";
}
