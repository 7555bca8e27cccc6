// The small texts: JSON and base64 that can be written in one way only, signed notes, keys.
import { createPublicKey, verify } from "node:crypto";

import { Malformed, Problem, TAMPERED } from "./problem.mjs";
import { sha256 } from "./tree.mjs";

const DEEPEST = 600; // so far JSON is nested
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function text(data) {
  try {
    return strict.decode(data);
  } catch {
    throw new Malformed("not UTF-8");
  }
}

/** Around what reads. */
export function parsing(file, read) {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    throw new Problem(TAMPERED, `is not as it was written: ${error.message}`, { file });
  }
}

function parsed(data) {
  const words = text(data);
  let value;
  try {
    value = JSON.parse(words);
  } catch (error) {
    throw new Malformed(error.message);
  }
  const inner = (row) => row.filter((each) => each !== null && typeof each === "object");
  let levels = 0;
  for (let row = inner([value]); row.length; row = inner(row.flatMap(Object.values))) {
    if (++levels > DEEPEST) throw new Malformed("nested too deep");
  }
  return value;
}

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
  if (typeof value === "number" && !Number.isSafeInteger(value)) throw new Malformed("not a whole number");
  if (typeof value === "string" && /\p{Surrogate}/u.test(value)) throw new Malformed("half a character");
  if (value !== null && typeof value === "object") {
    for (const [name, each] of Object.entries(value)) {
      mustBePlain(name);
      mustBePlain(each);
    }
  }
}

/** The value of JSON that has the one form in which it is written: of a file, or without indentation of a line. */
export function written(data, file, indent = 2) {
  const right = (value) => text(data) === `${canonical(value, indent)}${indent ? "\n" : ""}`;
  try {
    const value = parsed(data);
    mustBePlain(value);
    if (right(value)) return value;
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
  }
  throw new Problem(TAMPERED, "is not JSON in the form it was written in", { file });
}

/** An event, however it is written. */
export function understood(data, form) {
  const event = parsed(data);
  if (!fits(event, form)) throw new Malformed("does not say what it must");
  return event;
}

const isInt = Number.isSafeInteger;
const isBase64 = (value) => typeof value === "string" && Buffer.from(value, "base64").toString("base64") === value;
const isNumber = (value) => (isInt(value) ? value >= 0 : typeof value === "string" && /^[0-9]{1,15}$/.test(value));
const isNumberOrNull = (value) => value === null || isNumber(value);
const isLeaf = (value) =>
  typeof value === "string" && /^(s [^ ]+ [0-9]{1,15} [0-9]{1,15}|p [^ ]+ [0-9]{1,15} [0-9a-f]{64})$/.test(value);

const like = (form) => (value) => typeof value === "string" && form.test(value);
export const isUuid = like(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);

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
  turn: { type: "string", data: { old_key: "string", new_key: "string" } },
  absorbed: { absorbed_ids: ["string"] },
  event: {
    recorded_at: like(/^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{6}Z$/), stream: isUuid,
    type: like(/^[a-z_.]+$/), version: (value) => isInt(value) && value > 0, workspace: () => true,
  },
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
  if (value.toString("base64") !== word) throw new Malformed("not canonical base64");
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
  if (value[0] !== 1 || value.length !== 33) throw new Malformed("not an Ed25519 vkey");
  return value.subarray(1);
}

export function pinnedKey(data) {
  const word = text(data).replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, "");
  if (word.startsWith("-----BEGIN PUBLIC KEY-----")) {
    const key = createPublicKey(word);
    if (key.asymmetricKeyType !== "ed25519") throw new Malformed("not an Ed25519 key");
    return key.export({ type: "spki", format: "der" }).subarray(-32);
  }
  const key = word.length === 44 ? decoded(word) : vkeyBytes(word);
  if (key.length !== 32) throw new Malformed("not 32 bytes");
  return key;
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
  if (!right) throw new Malformed("not a checkpoint");
  if (lines.pop() !== "" || !lines.length || !lines.every((line) => line.startsWith(start))) {
    throw new Malformed("not signed under its origin");
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
