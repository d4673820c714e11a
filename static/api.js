// The control API: JSON in, JSON out, problems as errors whose words are for people.

/** What the service refused: `status` of HTTP, 0 where no answer came. */
export class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

const AWAY = "The server does not answer. Check the connection and try again.";

/** The error of an answer: the words of application/problem+json, or what little there is. */
export function refusal(status, text) {
  if (status === 0) return new ApiError(0, AWAY);
  try {
    const { detail } = JSON.parse(text);
    if (typeof detail === "string") return new ApiError(status, sentence(detail));
  } catch {
    // of a proxy on the way, say: its page is of no use here
  }
  return new ApiError(status, `The server answers ${status}.`);
}

function sentence(detail) {
  const text = detail.charAt(0).toUpperCase() + detail.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

export class Api {
  #headers;

  /** @param {string} token of the control API; empty where none is asked for */
  constructor(token) {
    this.token = token;
    this.#headers = token ? { Authorization: `Bearer ${token}` } : {};
  }

  get(path) {
    return this.#ask("GET", path);
  }

  delete(path) {
    return this.#ask("DELETE", path);
  }

  post(path, body) {
    return this.#ask("POST", path, JSON.stringify(body), { "Content-Type": "application/json" });
  }

  put(path, body) {
    return this.#ask("PUT", path, JSON.stringify(body), { "Content-Type": "application/json" });
  }

  /**
   * Sends a file, with progress: fetch cannot tell how much has gone out.
   * @param {string} path
   * @param {string} field of the form
   * @param {File} file
   * @param {(share: number) => void} progressed 0 to 1
   * @returns {{answer: Promise<object>, cancel: () => void}}
   */
  send(path, field, file, progressed) {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append(field, file, "file"); // its name is nobody's business
    const answer = new Promise((resolve, reject) => {
      request.upload.onprogress = (event) => progressed(event.total ? event.loaded / event.total : 0);
      request.onload = () => {
        if (request.status < 300) resolve(JSON.parse(request.responseText));
        else reject(refusal(request.status, request.responseText));
      };
      request.onerror = () => reject(refusal(0, ""));
      request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    });
    request.open("POST", url(path));
    for (const [name, value] of Object.entries(this.#headers)) request.setRequestHeader(name, value);
    request.send(form);
    return { answer, cancel: () => request.abort() };
  }

  /** The body of server-sent events, which EventSource could not ask for with a token. */
  async open(path, lastEventId, signal) {
    const headers = lastEventId ? { ...this.#headers, "Last-Event-ID": lastEventId } : this.#headers;
    const response = await fetch(url(path), { headers, signal, cache: "no-store" });
    if (!response.ok) throw refusal(response.status, await response.text());
    return response.body.pipeThrough(new TextDecoderStream()).getReader();
  }

  async #ask(method, path, body, more = {}) {
    let response;
    let text;
    try {
      response = await fetch(url(path), { method, body, headers: { ...this.#headers, ...more }, cache: "no-store" });
      text = await response.text();
    } catch {
      throw refusal(0, "");
    }
    if (!response.ok) throw refusal(response.status, text);
    return text ? JSON.parse(text) : null;
  }
}

const url = (path) => new URL(`api/${path}`, document.baseURI);
