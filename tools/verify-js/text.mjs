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

const isInt = Number.isSafeInteger;
const isBase64 = (value) => {
  try {
    return typeof value === "string" && decoded(value).length >= 0;
  } catch {
    return false;
  }
};
const isNumber = (value) => (isInt(value) || typeof value === "string") && /^[0-9]{1,18}$/.test(String(value));
const isNumberOrNull = (value) => value === null || isNumber(value);
const isLeaf = (value) =>
  typeof value === "string" && /^(s [^ ]+ [0-9]{1,18} [0-9]{1,18}|p [^ ]+ [0-9]{1,18} [0-9a-f]{64})$/.test(value);

/** What the JSON of a bundle must say, and what of it is read. */
export const FORMS = {
  manifest: {
    format: isInt, origin: "string", workspace: "string", scope: { kind: "string" }, position: isInt, treeSize: isInt,
    headsPosition: isInt, headsRoot: "string", counts: { events: isInt, byType: { "*": isInt } }, custody: "boolean",
    rotations: [isInt], files: [{ path: "string", size: isInt, sha256: "string" }],
  },
  scopes: { workspace: {}, log: {}, range: { from: isInt, to: isInt }, stream: { id: "string" }, subject: { id: "string" } },
  index: { eventsPerFile: isInt, files: [{ positions: [[isInt, isInt]] }] },
  growth: { from: isInt, to: isInt, hashes: [isBase64] },
  rotation: { event: "string", proof: [isBase64], consistency: [isBase64] },
  step: { position: isInt, event: "string", proof: [isBase64] },
  told: { version: isInt, stream: "string", type: "string" },
  completed: { data: { manifest_sha256: "string" } },
  sealed: { position: isInt, event: "string" },
  heads: {
    data: { size: isNumber, root: "string", leaves: isNumber }, workspace: "string", type: "string", recorded_at: "string",
  },
  proofs: { leaves: [{ leaf: isLeaf, index: isInt, hashes: [isBase64] }], subjects: { "*": ["string"] } },
  epoch: { epoch: isNumber, lost_from: isNumberOrNull, lost_to: isNumberOrNull },
};

/** A form is a type, or what a function says; of a list the one of all, or each one's; of an object those of these names, or of all. */
export function fits(value, form) {
  if (typeof form === "function") return form(value);
  if (typeof form === "string") return typeof value === form;
  if (Array.isArray(form)) {
    if (!Array.isArray(value)) return false;
    return form.length === 1
      ? value.every((each) => fits(each, form[0]))
      : value.length === form.length && value.every((each, at) => fits(each, form[at]));
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) return false;
  if (form["*"]) return Object.values(value).every((each) => fits(each, form["*"]));
  return Object.entries(form).every(([name, each]) => Object.hasOwn(value, name) && fits(value[name], each));
}

export function formed(value, form, file) {
  if (!fits(value, form)) throw new Problem(TAMPERED, "does not say what it must", { file });
  return value;
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
