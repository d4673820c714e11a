// A form from a description: whatever the control API says it takes (JSON Schema) becomes a field.

import { make } from "./dom.js";

/** Where a setting's name is not what people would look for. */
const WORDS = { ladder: "bit rates" };

/** "video_kbit" -> "Video kbit" */
export function labelOf(name) {
  const words = WORDS[name] ?? name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** What a field holds before anybody touches it. */
export function defaultOf(schema) {
  if ("default" in schema) return schema.default;
  return schema.enum?.[0] ?? { boolean: false, string: "" }[schema.type] ?? null;
}

/**
 * The value of a field's text, in the schema's type.
 * @param {object} schema
 * @param {string|boolean} raw
 */
export function valueOf(schema, raw) {
  if (schema.type === "boolean") return Boolean(raw);
  if (schema.type === "integer" || schema.type === "number") return raw === "" ? null : Number(raw);
  return raw;
}

/**
 * The engine that alone has a setting: its description begins with the engine's name and a colon.
 * @param {object} schema
 * @param {string[]} engines
 * @returns {string|null}
 */
export function ownerOf(schema, engines) {
  const [, name] = /^(\w+): /.exec(schema.description ?? "") ?? [];
  return engines.includes(name) ? name : null;
}

/**
 * What differs from the service's own settings, as the body of a request.
 * @param {Map<string, {schema: object, raw: string|boolean}>} fields
 */
export function changesOf(fields) {
  const changes = {};
  for (const [name, { schema, raw }] of fields) {
    const value = valueOf(schema, raw);
    if (value !== null && value !== defaultOf(schema)) changes[name] = value;
  }
  return changes;
}

/**
 * One labelled field.
 * @returns {{node: HTMLElement, raw: () => string|boolean}}
 */
export function makeField(name, schema) {
  const id = `field-${name}`;
  const input = makeInput(schema, id);
  const hint = schema.description ? [make("p", { id: `${id}-hint`, class: "hint" }, schema.description)] : [];
  if (hint.length) input.setAttribute("aria-describedby", `${id}-hint`);
  const label = make("label", { htmlFor: id }, labelOf(name));
  const isBoolean = schema.type === "boolean";
  const node = isBoolean
    ? make("div", { class: "field" }, make("div", { class: "check" }, input, label), ...hint)
    : make("div", { class: "field" }, label, input, ...hint);
  return { node, raw: () => (isBoolean ? input.checked : input.value) };
}

function makeInput(schema, id) {
  const value = defaultOf(schema);
  if (schema.enum) {
    const options = schema.enum.map((each) => make("option", { value: each, selected: each === value }, each === "" ? "none" : each));
    return make("select", { id }, ...options);
  }
  if (schema.type === "boolean") return make("input", { id, type: "checkbox", checked: value });
  if (schema.type === "string") return make("input", { id, type: "text", value, autocomplete: "off", spellcheck: false });
  const { minimum, maximum, type } = schema;
  const step = type === "integer" ? "1" : "any";
  const bounds = { ...(minimum !== undefined && { min: minimum }), ...(maximum !== undefined && { max: maximum }) };
  return make("input", { id, type: "number", inputMode: type === "integer" ? "numeric" : "decimal", step, ...bounds, value: value ?? "" });
}
