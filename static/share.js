// The stream for other devices: links to copy, a code for a phone to scan.

import { isLoopback, pageUrl, playlistUrl } from "./address.js";
import { copyText, element, write } from "./dom.js";
import { qrPicture } from "./qr.js";

const SAID_MS = 2000;

/** @param {{stream: string, token: string}} playing */
export function showShare(playing) {
  const page = pageUrl(playing, document.baseURI);
  const address = playlistUrl(playing, document.baseURI);
  element("page-link").value = page;
  element("address").value = address;
  element("ffplay").textContent = `ffplay -fflags nobuffer ${address}`;
  const nobody = isLoopback(location.hostname);
  element("code").hidden = nobody;
  element("code").replaceChildren(...(nobody ? [] : [qrPicture(page)]));
  write(element("phone-hint"), nobody
    ? `${location.hostname} is this computer to itself: open this page by its name in your network, and there will be a code for a phone here.`
    : "Scan it with a phone to watch there.");
}

export function setUpShare() {
  for (const [button, field, what] of [["copy-page", "page-link", "Link"], ["copy", "address", "Stream address"]]) {
    element(button).addEventListener("click", async (event) => {
      await copyText(element(field).value);
      sayCopied(event.currentTarget ?? element(button), element("copied"), what);
    });
  }
}

/** On the button for eyes, in a live region for ears. */
export function sayCopied(button, region, what) {
  const before = button.dataset.label ??= button.textContent;
  write(button, "Copied");
  write(region, `${what} copied`);
  setTimeout(() => { write(button, before); write(region, ""); }, SAID_MS);
}
