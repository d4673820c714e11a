// The token of the control API, asked for in a dialog; nobody who only watches needs to see it.

import { element, tell } from "./dom.js";

/**
 * @param {(token: string, keep: boolean) => Promise<boolean>} tried whether it was taken; throws with words for people
 */
export function setUpKey(tried) {
  const dialog = element("key");
  element("sign-in").hidden = false;
  element("sign-in").addEventListener("click", () => {
    tell(element("key-told"), "");
    dialog.showModal();
  });
  element("key-cancel").addEventListener("click", () => dialog.close());
  element("key-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await tried(element("token").value.trim(), element("keep").checked);
      element("token").value = "";
      dialog.close();
    } catch (error) {
      tell(element("key-told"), error.status === 401 ? "The service does not take this token." : error.message, true);
    }
  });
}
