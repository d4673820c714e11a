// Small hands for the document. Text goes in as text, never as markup.

export const element = (id) => document.getElementById(id);

/** Writes only what differs: an aria-live region speaks at every write. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * @param {string} tag
 * @param {object} properties of the new element; `class` and names with a hyphen become attributes
 * @param {...(Node|string)} children
 */
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class" || name.includes("-")) node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

/** The same for SVG, where everything is an attribute. */
export function draw(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** A sentence about what was just done, in a live region; errors are marked as such. */
export function tell(node, text, isError = false) {
  node.classList.toggle("error", isError);
  write(node, text);
}

/** Copies, also where there is no clipboard API: plain HTTP from another machine. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = make("textarea", { value: text, readOnly: true, class: "visually-hidden" });
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
}
