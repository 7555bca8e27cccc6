// The small texts: JSON and base64 that can be written in one way only, signed notes, keys.
import { createPublicKey, verify } from "node:crypto";

import { Problem, TAMPERED } from "./problem.mjs";
import { sha256 } from "./tree.mjs";

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
export const text = (data) => strict.decode(data);

const byCodePoints = (one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other));

/** JSON as a bundle has it. Written by hand: an object of JavaScript puts keys that look like numbers first. */
export function canonical(value, indent = 0, margin = "\n") {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const list = Array.isArray(value);
  const inner = indent ? margin + " ".repeat(indent) : "";
  const names = list ? [] : Object.keys(value).sort(byCodePoints);
  const parts = list
    ? value.map((each) => canonical(each, indent, inner))
    : names.map((name) => `${JSON.stringify(name)}:${indent ? " " : ""}${canonical(value[name], indent, inner)}`);
  const [open, close] = list ? "[]" : "{}";
  return parts.length ? `${open}${inner}${parts.join(`,${inner}`)}${indent ? margin : ""}${close}` : open + close;
}

/** Throws where another reader of JSON could read something else. */
function mustBePlain(value) {
  if (typeof value === "number" && !Number.isSafeInteger(value)) throw new Error("not a whole number");
  if (typeof value === "string" && /\p{Surrogate}/u.test(value)) throw new Error("half a character");
  if (value !== null && typeof value === "object") {
    for (const [name, each] of Object.entries(value)) {
      mustBePlain(name);
      mustBePlain(each);
    }
  }
}

/** The value of a JSON file that has the one form in which it is written. */
export function written(data, file) {
  try {
    const value = JSON.parse(text(data));
    mustBePlain(value);
    if (text(data) === `${canonical(value, 2)}\n`) return value;
  } catch {
    // said below
  }
  throw new Problem(TAMPERED, "is not JSON in the form it was written in", { file });
}

export function decoded(word) {
  const value = Buffer.from(word, "base64");
  if (value.toString("base64") !== word) throw new Error("not canonical base64");
  return value;
}

/** A log that lost history goes on as ORIGIN/2, then ORIGIN/3. */
export function epochOf(origin) {
  const found = /^([^]*)\/([2-9]|[1-9][0-9]{1,8})$/.exec(origin);
  return found ? [found[1], Number(found[2])] : [origin, 1];
}

export const keyId = (origin, key) => sha256(origin, Buffer.from("\n\x01"), key).subarray(0, 4);
export const vkey = (origin, key) =>
  `${origin}+${keyId(origin, key).toString("hex")}+${Buffer.concat([Buffer.from([1]), key]).toString("base64")}`;

export function vkeyBytes(word) {
  const encoded = word.split("+").slice(2).join("+");
  const value = decoded(encoded);
  if (value[0] !== 1 || value.length !== 33) throw new Error("not an Ed25519 vkey");
  return value.subarray(1);
}

export function pinnedKey(data) {
  const word = data.toString().trim();
  if (word.startsWith("-----BEGIN")) {
    const key = createPublicKey(word);
    if (key.asymmetricKeyType !== "ed25519") throw new Error("not an Ed25519 key");
    return key.export({ type: "spki", format: "der" }).subarray(-32);
  }
  return word.length === 44 ? decoded(word) : vkeyBytes(word);
}

/** Exactly what a log writes: three lines, an empty one, signatures under its own name. */
export function parseNote(data) {
  const whole = text(data);
  const end = whole.indexOf("\n\n");
  const [origin, size, root, ...more] = whole.slice(0, Math.max(end, 0)).split("\n");
  const lines = whole.slice(end + 2).split("\n");
  const start = `\u2014 ${origin} `;
  const number = /^(0|[1-9][0-9]{0,15})$/.test(size) && Number.isSafeInteger(Number(size));
  const right = end > 0 && origin && !more.length && number && decoded(root).length === 32;
  if (!right) throw new Error("not a checkpoint");
  if (lines.pop() !== "" || !lines.length || !lines.every((line) => line.startsWith(start))) {
    throw new Error("not signed under its origin");
  }
  const signatures = lines.map((line) => decoded(line.slice(start.length)));
  return { origin, size: Number(size), root: decoded(root), text: whole.slice(0, end + 1), signatures };
}

const SPKI = Buffer.from("302a300506032b6570032100", "hex");

/** By all of these keys in this order, and by nobody else. */
export function signedBy(note, ...keys) {
  return (
    keys.length === note.signatures.length &&
    keys.every((key, at) => {
      const signature = note.signatures[at];
      const made = createPublicKey({ key: Buffer.concat([SPKI, key]), format: "der", type: "spki" });
      const holds = signature.length === 68 && verify(null, Buffer.from(note.text), made, signature.subarray(4));
      return holds && signature.subarray(0, 4).equals(keyId(note.origin, key));
    })
  );
}
