// Events files: their lines against the leaves of their tiles, then what they say of themselves.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { inflateRawSync, constants } from "node:zlib";

import { INCOMPLETE, Problem, TAMPERED } from "./problem.mjs";
import { text } from "./text.mjs";
import { leafHash, sha256 } from "./tree.mjs";

const HEADER = Buffer.from("1f8b08000000000000ff", "hex");
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const LENIENT = { finishFlush: constants.Z_SYNC_FLUSH, info: true };

export const eventsName = (number) => `events/${String(number).padStart(6, "0")}.jsonl.gz`;
export const count = (runs) => runs.reduce((sum, [first, last]) => sum + last - first + 1, 0);
export const positionsOf = (runs) =>
  runs.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, at) => first + at));

/** The lines of a gzip file, and how it ends: whole, cut or damaged. Damage: up to the last byte that can be inflated. */
export function linesOf(path) {
  const data = readFileSync(path);
  const packed = data.subarray(HEADER.length);
  let [end, inflated] = ["whole", Buffer.alloc(0)];
  const tried = attempt(packed);
  if (tried) {
    inflated = tried.buffer;
    const trailer = packed.length - tried.engine.bytesWritten;
    if (trailer !== 8) end = trailer < 8 ? "cut" : "damaged";
  } else {
    let [low, high] = [0, packed.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (attempt(packed.subarray(0, middle))) low = middle;
      else high = middle;
    }
    inflated = attempt(packed.subarray(0, low)).buffer;
    end = "damaged";
  }
  const lines = [];
  let start = 0;
  for (let stop = inflated.indexOf(10); stop >= 0; stop = inflated.indexOf(10, start)) {
    lines.push(inflated.subarray(start, stop));
    start = stop + 1;
  }
  if (end === "whole" && (start < inflated.length || !data.subarray(0, HEADER.length).equals(HEADER))) end = "damaged";
  return { lines, end, size: data.length, sha256: sha256(data).toString("hex") };
}

function attempt(packed) {
  if (!packed.length) return { buffer: Buffer.alloc(0), engine: { bytesWritten: 0 } };
  try {
    return inflateRawSync(packed, LENIENT);
  } catch {
    return null;
  }
}

/** One file: `job` is {directory, number, runs, tiles, workspace, listed, altered, epoch}; an epoch if events are not read. */
export function checkEventsFile(job) {
  const name = eventsName(job.number);
  const path = join(job.directory, name);
  const found = { number: job.number, runs: job.runs, problems: [], gaps: [], events: [], types: {}, lost: [] };
  if (!existsSync(path)) {
    found.problems.push(new Problem(INCOMPLETE, "is missing", { position: job.runs[0][0], file: name }));
    return found;
  }
  const file = linesOf(path);
  const hashes = file.lines.map(leafHash);
  const expected = expectedHashes(job, hashes, found.problems);
  const at = different(hashes, expected);
  if (at >= 0) {
    const end = file.end === "cut" && file.size >= job.listed.size ? "damaged" : file.end;
    found.problems.push(judged(job, hashes, expected, at, end));
    return found;
  }
  if (file.end === "cut" && file.size < job.listed.size) {
    found.problems.push(new Problem(INCOMPLETE, "does not end as it should", { file: name }));
  } else if (file.end !== "whole" || file.size !== job.listed.size || file.sha256 !== job.listed.sha256) {
    found.problems.push(new Problem(TAMPERED, "is not what the manifest says", { file: name }));
  }
  if (job.epoch === null) read(job, file.lines, found);
  else skim(job, file.lines, found);
  return found;
}

function different(one, other) {
  for (let at = 0; at < Math.max(one.length, other.length); at++) {
    if (!one[at] || !other[at] || !one[at].equals(other[at])) return at;
  }
  return -1;
}

/** What the tiles say. Where a tile cannot be believed, what the lines say: the tile is named instead of them. */
function expectedHashes(job, hashes, problems) {
  const expected = [];
  let [number, data] = [-1, null];
  for (const position of positionsOf(job.runs)) {
    const index = position - 1;
    if (Math.floor(index / 256) !== number) {
      number = Math.floor(index / 256);
      data = null;
      try {
        if (!job.altered.has(job.tiles.name(0, number))) data = job.tiles.proven(0, number);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        problems.push(error);
      }
    }
    const place = (index % 256) * 32;
    expected.push(data ? data.subarray(place, place + 32) : (hashes[expected.length] ?? Buffer.alloc(32)));
  }
  return expected;
}

function judged(job, hashes, expected, at, end) {
  const [file, positions] = [eventsName(job.number), positionsOf(job.runs)];
  const where = { position: positions[Math.min(at, positions.length - 1)], file };
  const tally = (list) => list.reduce((map, hash) => map.set(hash.toString("hex"), (map.get(hash.toString("hex")) ?? 0) + 1), new Map());
  const [there, wanted] = [tally(hashes), tally(expected)];
  const missing = new Set([...wanted].filter(([hash, n]) => n > (there.get(hash) ?? 0)).map(([hash]) => hash));
  const more = [...there].some(([hash, n]) => n > (wanted.get(hash) ?? 0));
  const kept = expected.filter((hash) => !missing.has(hash.toString("hex")));
  if (missing.size && !more && end !== "damaged" && different(kept, hashes) < 0) {
    return new Problem(INCOMPLETE, "is missing", where);
  }
  if (missing.size && (more || end === "damaged")) {
    return new Problem(TAMPERED, "is not the event that was recorded", where, 0);
  }
  return new Problem(TAMPERED, "is not the event that stands here", where);
}

/** Of events that are not read: positions without one and, where a log lost history, the events that say what. */
function skim(job, lines, found) {
  const positions = positionsOf(job.runs);
  lines.forEach((line, at) => {
    if (!line.length) found.lost.push(positions[at]);
    if (job.epoch < 2 || !(line.includes("epoch_opened") || line.includes("\\u"))) return;
    const event = understood(line);
    if (event?.type === "ledger.epoch_opened") {
      found.events.push({ position: positions[at], time: "", ledger: { kind: event.type, data: event.data } });
    }
  });
}

function understood(line) {
  try {
    const event = JSON.parse(text(line));
    return UUID.test(event.stream) && event.version >= 1 && typeof event.recorded_at === "string" ? event : null;
  } catch {
    return null;
  }
}

/** Each event as JSON: who it is of, and whom its data names. */
function read(job, lines, found) {
  const positions = positionsOf(job.runs);
  for (let at = 0; at < lines.length; at++) {
    const position = positions[at];
    if (!lines[at].length) {
      found.lost.push(position);
      continue;
    }
    const event = understood(lines[at]);
    if (!event) {
      found.problems.push(new Problem(TAMPERED, "is no event", { position }));
      return;
    }
    const before = found.events.at(-1);
    if (before && event.recorded_at < before.time) {
      found.problems.push(new Problem(TAMPERED, "is recorded earlier than the event before", { position }));
    }
    if (event.workspace !== job.workspace) {
      found.problems.push(new Problem(TAMPERED, "is of another workspace", { position }));
    }
    const kind = event.type;
    found.types[kind] = (found.types[kind] ?? 0) + 1;
    found.events.push({
      position, time: event.recorded_at, stream: event.stream, version: event.version, contact: kind.startsWith("contact."),
      named: new Set(uuids(event.data)), ledger: kind.startsWith("ledger.") ? { kind, data: event.data } : null,
      merge: ["contact.merged", "contact.released"].includes(kind) ? { kind, ids: event.data?.absorbed_ids } : null,
    });
  }
}

function* uuids(value) {
  if (typeof value === "string") {
    if (UUID.test(value)) yield value;
  } else if (value !== null && typeof value === "object") {
    for (const each of Object.values(value)) yield* uuids(each);
  }
}
