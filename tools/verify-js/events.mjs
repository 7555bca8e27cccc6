// Events files: their lines against the leaves of their tiles, then what they say of themselves.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { constants, createInflateRaw } from "node:zlib";

import { INCOMPLETE, Malformed, Problem, TAMPERED } from "./problem.mjs";
import { FORMS, isUuid, understood } from "./text.mjs";
import { leafHash, sha256 } from "./tree.mjs";

const HEADER = Buffer.from("1f8b08000000000000ff", "hex");
const LARGEST_STATE = 65535;
export const MOST_EVENTS = 65536; // in a file
const LENIENT = { finishFlush: constants.Z_SYNC_FLUSH };

export const eventsName = (number) => `events/${String(number).padStart(6, "0")}.jsonl.gz`;
export const count = (runs) => runs.reduce((sum, [first, last]) => sum + last - first + 1, 0);
export const positionsOf = (runs) =>
  runs.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, at) => first + at));

/** The lines of a gzip file in batches; then how it ended (whole, cut or damaged), its size and its hash. */
export class Lines {
  end = "whole";

  constructor(path) {
    this.data = readFileSync(path);
    [this.size, this.sha256] = [this.data.length, sha256(this.data).toString("hex")];
  }

  async *[Symbol.asyncIterator]() {
    let rest = Buffer.alloc(0);
    for await (const piece of this.inflated(this.data.subarray(HEADER.length))) {
      const whole = Buffer.concat([rest, piece]);
      const lines = [];
      let start = 0;
      for (let stop = whole.indexOf(10); stop >= 0; stop = whole.indexOf(10, start)) {
        lines.push(whole.subarray(start, stop));
        start = stop + 1;
      }
      rest = whole.subarray(start);
      const long = [...lines, rest].findIndex((line) => line.length > LARGEST_STATE);
      yield long < 0 ? lines : lines.slice(0, long);
      if (long >= 0) {
        this.end = "damaged";
        return;
      }
    }
    const header = this.data.subarray(0, HEADER.length).equals(HEADER);
    if (this.end === "whole" && (rest.length || !header)) this.end = "damaged";
  }

  /** Of what is damaged: up to the last byte that can be inflated. */
  async *inflated(packed) {
    let [given, low, high] = [0, 0, packed.length];
    try {
      const engine = createInflateRaw(LENIENT);
      engine.end(packed);
      for await (const piece of engine) {
        given += piece.length;
        yield piece;
      }
      const trailer = packed.length - engine.bytesWritten;
      if (trailer !== 8) this.end = trailer < 8 ? "cut" : "damaged";
      return;
    } catch (error) {
      if (!error.code?.startsWith("Z_")) throw error;
    }
    this.end = "damaged";
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (await inflates(packed.subarray(0, middle))) low = middle;
      else high = middle;
    }
    const engine = createInflateRaw(LENIENT);
    engine.end(packed.subarray(0, low));
    for await (const piece of engine) {
      if (piece.length > given) yield piece.subarray(given);
      given = Math.max(0, given - piece.length);
    }
  }
}

async function inflates(packed) {
  try {
    const engine = createInflateRaw(LENIENT);
    engine.end(packed);
    for await (const _ of engine);
    return true;
  } catch (error) {
    if (!error.code?.startsWith("Z_")) throw error;
    return false;
  }
}

/** One file: `job` is {directory, number, runs, tiles, workspace, listed, altered, epoch}; an epoch if events are not read. */
export async function checkEventsFile(job) {
  const name = eventsName(job.number);
  const found = { number: job.number, runs: job.runs, problems: [], gaps: [], events: [], types: new Map(), lost: [] };
  if (!job.there) {
    found.problems.push(new Problem(INCOMPLETE, "is missing", { position: job.runs[0][0], file: name }));
    return found;
  }
  const file = new Lines(join(job.directory, name));
  const [lines, hashes, wanted] = [[], [], count(job.runs)];
  const most = 2 * wanted + MOST_EVENTS;
  for await (const lot of file) {
    const batch = lot.slice(0, most - hashes.length);
    lines.push(...batch.slice(0, Math.max(0, wanted - lines.length)));
    for (const line of batch) hashes.push(leafHash(line));
    if (hashes.length === most) break;
  }
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
  if (job.epoch === null) read(job, lines, found);
  else skim(job, lines, found);
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
    const event = eventIn(line);
    if (event?.type === "ledger.epoch_opened") {
      found.events.push({ position: positions[at], time: "", ledger: { kind: event.type, data: event.data } });
    }
  });
}

function eventIn(line) {
  try {
    return understood(line, FORMS.event);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
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
    const event = eventIn(lines[at]);
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
    found.types.set(kind, (found.types.get(kind) ?? 0) + 1);
    found.events.push({
      position, time: event.recorded_at, stream: event.stream, version: event.version, contact: kind.startsWith("contact."),
      named: new Set(uuids(event.data)), ledger: kind.startsWith("ledger.") ? { kind, data: event.data } : null,
      merge: ["contact.merged", "contact.released"].includes(kind) ? { kind, data: event.data } : null,
    });
  }
}

/** Every uuid that stands as a string somewhere in a JSON value. */
function* uuids(value) {
  const rest = [value];
  while (rest.length) {
    const each = rest.pop();
    if (isUuid(each)) yield each;
    else if (each !== null && typeof each === "object") for (const inner of Object.values(each)) rest.push(inner);
  }
}
