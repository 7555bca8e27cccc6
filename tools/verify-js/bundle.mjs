// A bundle, and everything that must hold of it. docs/bundle-format.md says what its files mean.
import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, readSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

import { Lines, MOST_EVENTS, checkEventsFile, count, eventsName } from "./events.mjs";
import { INCOMPLETE, Malformed, OK, Problem, RESULTS, TAMPERED, UNVERIFIABLE } from "./problem.mjs";
import {
  FORMS, canonical, decoded, epochOf, fits, formed, parseNote, parsing, signedBy, understood, vkey, vkeyBytes, written,
} from "./text.mjs";
import { Growing, Tiles, consistent, leafHash, rootByInclusion, sha256 } from "./tree.mjs";

const UNBOUND = ["MANIFEST.json", "CHECKPOINT", "consistency.json", "custody.jsonl", "ORIGIN", "PUBLIC_KEY"];
const LARGEST_FILE = 2 ** 28; // of those that are read whole
const NOTHING = { scope: null, upto: null, sealed: null };
const FEW = ["stream", "subject"]; // scopes of which only what events say tells what belongs to them
const WHOLE = ["which positions are lost", "versions from file to file", "heads map", "counts of types"]; // takes all events
const UNREAD = [
  "whether each line is an event of this workspace", "recorded times", "versions", "heads map", "counts of types", "views",
];
const hex = (data) => sha256(data).toString("hex");
const bytewise = (one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other));
const keysAre = (value, ...names) => Object.keys(value).sort().join() === names.sort().join();

/** Size and SHA-256 of a file of any length. */
function hashOf(path) {
  const [file, hash, piece] = [openSync(path), createHash("sha256"), Buffer.alloc(1 << 16)];
  let size = 0;
  for (let read = readSync(file, piece); read; read = readSync(file, piece)) {
    hash.update(piece.subarray(0, read));
    size += read;
  }
  closeSync(file);
  return { size, sha256: hash.digest("hex") };
}

export class Bundle {
  problems = [];
  found = new Set(); // files
  altered = new Set();
  custodyHolds = false;
  custodyTrouble = null;
  detached = [];
  gaps = [];
  note = { size: 0, origin: "" };
  runs = [];
  scoped = false;
  sealed = null;

  said = "everything holds";
  unchecked = [];
  sampled = false;
  time = null;

  constructor(directory, { origin, key, custody, logOnly }) {
    Object.assign(this, { directory, origin, key, custody, logOnly, epoch: epochOf(origin)[1] });
  }

  path(name) {
    return join(this.directory, name);
  }

  read(file, code = INCOMPLETE) {
    if (!this.found.has(file)) throw new Problem(code, "is missing", { file });
    if (statSync(this.path(file)).size > LARGEST_FILE) throw new Problem(UNVERIFIABLE, "is too large to be read", { file });
    return readFileSync(this.path(file));
  }

  json(file, form) {
    return formed(written(this.read(file), file), form, file);
  }

  add(code, reason, where, rank) {
    this.problems.push(new Problem(code, reason, where, rank));
  }

  /** A problem is noted and the verifier goes on. An error that is none is a mistake of ours, and proves nothing. */
  async noting(work) {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.problems.push(error);
    }
  }

  /** Files and folders, and nothing that leads elsewhere or never ends. */
  checkFolder() {
    const [odd, unnamed] = [[], []];
    const look = (folder) => {
      for (const entry of readdirSync(this.path(folder), { withFileTypes: true, encoding: "buffer" })) {
        const file = folder + entry.name.toString();
        if (!Buffer.from(entry.name.toString()).equals(entry.name)) unnamed.push(file);
        else if (entry.isDirectory()) look(`${file}/`);
        else if (entry.isFile()) this.found.add(file);
        else odd.push(file);
      }
    };
    if (statSync(this.directory, { throwIfNoEntry: false })?.isDirectory()) look("");
    if (odd.length) throw new Problem(UNVERIFIABLE, "is neither a file nor a folder", { file: odd.sort(bytewise)[0] });
    for (const file of unnamed.sort(bytewise)) this.add(TAMPERED, "is not in the manifest, which has names in UTF-8", { file });
  }

  // -- who signed

  async checkSignature() {
    const data = this.read("CHECKPOINT", UNVERIFIABLE);
    try {
      this.note = parseNote(data);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      throw new Problem(UNVERIFIABLE, `is no signed checkpoint: ${error.message}`, { file: "CHECKPOINT" });
    }
    this.checkOrigin();
    this.keys = await this.chain();
    if (!this.signed(this.note)) throw new Problem(UNVERIFIABLE, "is not signed by the pinned key", { file: "CHECKPOINT" });
    for (const [file, right] of [["ORIGIN", this.note.origin], ["PUBLIC_KEY", vkey(this.note.origin, this.keys.at(-1)[1])]]) {
      await this.noting(() => {
        if (!this.read(file).equals(Buffer.from(`${right}\n`))) throw new Problem(TAMPERED, "is not that of CHECKPOINT", { file });
      });
    }
  }

  checkOrigin() {
    if (this.note.origin === this.origin) return;
    const [base, epoch] = epochOf(this.origin);
    const [theirs, later] = epochOf(this.note.origin);
    if (theirs !== base || later <= epoch) {
      throw new Problem(UNVERIFIABLE, `is of ${this.note.origin}, not of ${this.origin}`, { file: "CHECKPOINT" });
    }
    this.add(INCOMPLETE, "history was lost: the log went on in a new epoch", { file: "CHECKPOINT" }, 2);
  }

  /** By the key in force at its size, and by both at the size where one follows the other. */
  signed(note) {
    const ruling = this.keys.filter(([since]) => since <= note.size);
    const both = ruling.length > 1 && ruling.at(-1)[0] === note.size;
    return note.origin === this.note.origin && signedBy(note, ...ruling.slice(both ? -2 : -1).map(([, key]) => key));
  }

  /** The keys that rotations chain, if the pinned one is among them. */
  async chain() {
    const keys = [];
    for (const file of this.turns().sort((a, b) => Buffer.byteLength(a) - Buffer.byteLength(b) || bytewise(a, b))) {
      await this.noting(() => {
        const [size, old, fresh] = this.rotation(file);
        if (keys.length && !keys.at(-1)[1].equals(old)) {
          throw new Problem(TAMPERED, "does not follow from the rotation before", { file });
        }
        keys.push(...(keys.length ? [] : [[0, old]]), [size, fresh]);
      });
    }
    return keys.some(([, key]) => key.equals(this.key)) ? keys : [[0, this.key]];
  }

  turns() {
    return [...this.found].filter((file) => /^rotations\/[^/]+\.note$/.test(file));
  }

  rotation(file) {
    const [data, given] = [this.read(file), this.json(`${file.slice(0, -5)}.json`, FORMS.rotation)];
    const state = Buffer.from(given.event);
    const [note, event] = parsing(file, () => [parseNote(data), understood(state, FORMS.turn)]);
    const [old, fresh] = parsing(file, () => [vkeyBytes(event.data.old_key), vkeyBytes(event.data.new_key)]);
    const [proof, growth] = [given.proof.map(decoded), given.consistency.map(decoded)];
    const holds =
      keysAre(given, "event", "proof", "consistency") &&
      file === `rotations/${note.size}.note` &&
      note.origin === this.note.origin &&
      signedBy(note, old, fresh) &&
      rootByInclusion(leafHash(state), note.size - 1, note.size, proof)?.equals(note.root) &&
      event.type === "ledger.key_rotated";
    if (!holds) throw new Problem(TAMPERED, "does not hand one key over to the other", { file });
    if (!consistent(note.size, note.root, this.note.size, this.note.root, growth)) {
      this.detached.push(new Problem(TAMPERED, "is of another history than CHECKPOINT", { file }));
    }
    return [note.size, old, fresh];
  }

  // -- what was promised

  checkManifest() {
    const data = this.read("MANIFEST.json");
    let promised = null;
    try {
      promised = this.custodySays();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.custodyTrouble = error;
    }
    this.custodyHolds = promised !== null;
    if (promised !== null && promised !== hex(data)) {
      this.add(TAMPERED, "is not the one custody.jsonl ends with", { file: "MANIFEST.json" }, 1);
    }
    const m = (this.manifest = formed(written(data, "MANIFEST.json"), FORMS.manifest, "MANIFEST.json"));
    if (m.custody && !this.found.has("custody.jsonl")) {
      this.add(INCOMPLETE, "is missing", { file: "custody.jsonl" });
    } else if (!m.custody && this.custody) {
      this.add(UNVERIFIABLE, "is not bound by the log; --no-custody accepts that", { file: "MANIFEST.json" });
    }
    if (m.format !== 1 || m.origin !== this.note.origin || epochOf(m.origin)[0].split("/").at(-1) !== m.workspace) {
      throw new Problem(TAMPERED, "is of another log than CHECKPOINT", { file: "MANIFEST.json" });
    }
    const sizes = [m.position, m.headsPosition, m.treeSize];
    if (!sizes.every((size) => Number.isSafeInteger(size) && size >= 0 && size <= m.treeSize) || m.treeSize < 1 || !(m.headsPosition || m.scope.kind === "log")) {
      throw new Problem(TAMPERED, "has sizes that cannot be", { file: "MANIFEST.json" });
    }
    for (const size of m.rotations) {
      const file = `rotations/${size}.note`;
      if (!this.found.has(file)) this.add(INCOMPLETE, "is missing", { file });
    }
  }

  custodySays() {
    const file = "custody.jsonl";
    if (!this.found.has(file)) return null;
    const lines = [];
    let rest = this.read(file);
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      lines.push(rest.subarray(0, end));
      rest = rest.subarray(end + 1);
    }
    if (rest.length || !lines.length) throw new Problem(TAMPERED, "does not end where a line does", { file });
    let event = null;
    lines.forEach((line, at) => {
      const [step, before] = [formed(written(line, file, 0), FORMS.step, file), event];
      const leaf = leafHash(Buffer.from(step.event));
      const root = rootByInclusion(leaf, step.position - 1, this.note.size, step.proof.map(decoded));
      if (!root?.equals(this.note.root) || !keysAre(step, "position", "event", "proof")) {
        throw new Problem(TAMPERED, `line ${at + 1} is not in the signed log`, { file });
      }
      event = parsing(file, () => understood(Buffer.from(step.event), FORMS.told));
      if (event.version !== at + 1 || (before && before.stream !== event.stream)) {
        throw new Problem(INCOMPLETE, `version ${at + 1} of the export is missing`, { file });
      }
    });
    if (event.type !== "export.completed") throw new Problem(INCOMPLETE, "does not end with the completion", { file });
    return formed(event, FORMS.completed, file).data.manifest_sha256;
  }

  checkFiles() {
    const [found, listed] = [this.found, new Map(this.manifest.files.map((file) => [file.path, file]))];
    const turn = (file) => /^rotations\/([^/]+)\.(note|json)$/.exec(file)?.[1];
    const turns = [...this.manifest.rotations.map(String), ...this.turns().map(turn)];
    for (const file of [...found].filter((name) => !listed.has(name)).sort(bytewise)) {
      if (!UNBOUND.includes(file) && !(turn(file) && turns.includes(turn(file)))) {
        this.add(TAMPERED, "is not in the manifest", { file });
      }
    }
    for (const file of [...listed.keys()].filter((name) => !found.has(name)).sort(bytewise)) {
      if (!file.startsWith("events/") || file === "events/index.json") this.add(INCOMPLETE, "is missing", { file });
    }
    for (const file of [...listed.keys()].filter((name) => found.has(name)).sort(bytewise)) {
      if ((file.startsWith("events/") && file.endsWith(".jsonl.gz")) || (this.logOnly && file.startsWith("views/"))) continue;
      const { size, sha256: hash } = hashOf(this.path(file));
      if (size !== listed.get(file).size || hash !== listed.get(file).sha256) {
        this.altered.add(file);
        this.add(TAMPERED, "is not what the manifest says", { file });
      }
    }
  }

  // -- positions and tiles

  checkScope() {
    const [m, scope] = [this.manifest, this.manifest.scope];
    const whole = { workspace: [1, m.position], log: [1, m.treeSize], range: [scope.from, scope.to] };
    const [first, last] = Object.hasOwn(whole, scope.kind) ? whole[scope.kind] : [1, 0];
    const known = Object.hasOwn(FORMS.scopes, scope.kind) && fits(scope, FORMS.scopes[scope.kind]);
    if (!known || !fits(scope.absorbed ?? [], ["string"]) || scope.absorbed === null || !(first > 0 && first <= last + 1)) {
      throw new Problem(TAMPERED, "has a scope that is none", { file: "MANIFEST.json" });
    }
    const file = "events/index.json";
    if (this.altered.has(file)) return;
    const { eventsPerFile: each, files: index } = this.json(file, FORMS.index);
    if (!(each > 0 && each <= MOST_EVENTS) || last - first + 1 > each * index.length) {
      throw new Problem(TAMPERED, "is not the index of these files", { file });
    }
    const runs = [];
    for (let start = first; start <= last; start += each) runs.push([[start, Math.min(start + each - 1, last)]]);
    const few = FEW.includes(scope.kind);
    this.runs = few ? index.map((entry) => entry.positions) : runs;
    const edges = [0, ...this.runs.flat(2), (few ? m.position : m.treeSize) + 1];
    const ascending = edges.every((edge, at) => !at || (at % 2 ? edges[at - 1] < edge : edges[at - 1] <= edge));
    const listed = new Map(m.files.map((entry) => [entry.path, entry.sha256]));
    const events = this.runs.map(count);
    const full = events.slice(0, -1).every((n) => n === each) && events.slice(-1).every((n) => 0 < n && n <= each);
    if (!ascending || !full) {
      this.runs = [];
      throw new Problem(TAMPERED, "is not the index of these files", { file });
    }
    const right = this.runs.map((positions, at) => ({
      path: eventsName(at), events: count(positions), positions, sha256: listed.get(eventsName(at)) ?? null,
    }));
    if (canonical(index) !== canonical(right)) {
      this.runs = [];
      throw new Problem(TAMPERED, "is not the index of these files", { file });
    }
    if (scope.kind === "log" && last < this.note.size) {
      this.add(INCOMPLETE, `the log was signed up to ${this.note.size}`, { position: last + 1 });
    }
    this.scoped = true;
  }

  async checkTiles() {
    const [m, tiles] = [this.manifest, this.tiles];
    if (["workspace", "log"].includes(m.scope.kind) && Math.floor((tiles.size - 1) / 256) >= m.files.length) {
      throw new Problem(TAMPERED, "lists fewer files than its tree has tiles", { file: "MANIFEST.json" });
    }
    const touched = new Set();
    for (const [first, last] of this.runs.flat()) {
      for (let at = Math.floor((first - 1) / 256); at <= Math.floor((last - 1) / 256); at++) touched.add(at);
    }
    const rest = ["workspace", "log"].includes(m.scope.kind)
      ? Array.from({ length: Math.floor((tiles.size - 1) / 256) + 1 }, (_, at) => at)
      : [Math.floor((m.headsPosition - 1) / 256)];
    const untouched = new Set(rest.filter((at) => !touched.has(at)));
    let row = new Set([...touched, ...untouched]);
    for (let level = 0; tiles.count(level); level++) {
      const width = tiles.count(level);
      row = new Set([...row].filter((at) => at * 256 < width));
      if (width % 256) row.add(Math.floor(width / 256));
      for (const at of [...row].sort((a, b) => a - b)) {
        const file = tiles.name(level, at);
        if (!this.found.has(file)) {
          if (!this.problems.some((problem) => problem.where.file === file)) this.add(INCOMPLETE, "is missing", { file });
        } else if (level || untouched.has(at)) {
          await this.noting(() => tiles.proven(level, at));
        }
      }
      row = new Set([...row].map((at) => Math.floor(at / 256)));
    }
  }

  async checkGrowth() {
    const [tiles, note] = [this.tiles, this.note];
    const root = tiles.root(tiles.size);
    let [to, holds] = [0, false];
    await this.noting(() => {
      const growth = this.json("consistency.json", FORMS.growth);
      to = growth.to;
      const hashes = growth.hashes.map(decoded);
      const same = keysAre(growth, "from", "to", "hashes") && growth.from === tiles.size && to === note.size;
      holds = same && consistent(tiles.size, root, note.size, note.root, hashes);
    });
    if (!this.found.has("consistency.json")) return;
    const blamed = tiles.edge(tiles.size).some(([level, at]) => this.altered.has(tiles.name(level, at)));
    const ends = Math.max(tiles.size, to);
    if (holds || blamed) {
      this.problems.push(...(this.custodyTrouble ? [this.custodyTrouble] : []), ...this.detached);
    } else if (this.custodyHolds || (!this.custodyTrouble && tiles.size === note.size && root.equals(note.root))) {
      this.add(TAMPERED, "does not lead from the tiles to CHECKPOINT", { file: "consistency.json" });
    } else if (note.size < ends) {
      this.add(INCOMPLETE, `is older than the bundle, which goes on to ${ends}`, { file: "CHECKPOINT", position: note.size + 1 }, 1);
    } else {
      this.add(TAMPERED, "is of another history than the tiles", { file: "CHECKPOINT" }, 1);
    }
  }

  checkSealed() {
    const [m, tiles, file] = [this.manifest, this.tiles, "heads/sealed.json"];
    if (!m.headsPosition && m.scope.kind === "log") return;
    const sealed = this.json(file, FORMS.sealed);
    const index = sealed.position - 1;
    if (!(index >= 0 && index < tiles.size)) throw new Problem(TAMPERED, "is not at a position of the log", { file });
    const tile = Math.floor(index / 256);
    const data = tiles.proven(0, tile);
    const leaf = data.subarray((index % 256) * 32, (index % 256) * 32 + 32);
    if (!this.altered.has(tiles.name(0, tile)) && !leaf.equals(leafHash(Buffer.from(sealed.event)))) {
      throw new Problem(TAMPERED, "is not the event that was recorded", { file });
    }
    const event = parsing(file, () => understood(Buffer.from(sealed.event), FORMS.heads));
    const { size, root, leaves } = event.data;
    const said = { size: Number(size), root, leaves: Number(leaves) };
    const is = [sealed.position, said.size, said.root, event.workspace, event.type];
    const known = [m.headsPosition, m.position, m.headsRoot, m.workspace, "ledger.heads_sealed"];
    if (is.some((value, at) => value !== known[at])) {
      throw new Problem(TAMPERED, "does not seal the heads that the manifest names", { file });
    }
    if (m.scope.kind !== "log" && m.headsPosition !== m.treeSize) {
      throw new Problem(TAMPERED, "has a tree of another size than its heads ask for", { file: "MANIFEST.json" });
    }
    [this.sealed, this.time] = [said, event.recorded_at];
  }

  checkSince(file) {
    let older;
    try {
      older = parseNote(readFileSync(file));
    } catch (error) {
      if (!(error instanceof Malformed || error.syscall)) throw error;
      throw new Problem(UNVERIFIABLE, `is no signed checkpoint: ${error.message}`, { file });
    }
    const sameLog = epochOf(older.origin)[0] === epochOf(this.note.origin)[0];
    if (!sameLog || !(this.signed(older) || this.keys.some(([, key]) => signedBy(older, key)))) {
      throw new Problem(UNVERIFIABLE, "is not signed by a key of this log", { file });
    }
    const end = this.note.size;
    this.epoch = Math.min(this.epoch, epochOf(older.origin)[1]);
    if (older.size > end) {
      throw new Problem(INCOMPLETE, `the log ends at ${end} and was signed up to ${older.size}`, { position: end + 1 });
    }
    if (this.tiles.size < older.size && older.size < end) {
      throw new Problem(UNVERIFIABLE, `the bundle's tiles end at ${this.tiles.size}, before ${older.size}`, { file });
    }
    let root;
    try {
      root = older.size === end ? this.note.root : this.tiles.root(older.size);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      throw new Problem(UNVERIFIABLE, `the tiles up to ${older.size} are not in this bundle`, error.where);
    }
    if (!root.equals(older.root)) {
      const code = older.origin === this.note.origin ? TAMPERED : INCOMPLETE;
      throw new Problem(code, `positions 1 to ${older.size} are not the history that was signed then`, { file }, 2);
    }
    this.epoch = epochOf(this.origin)[1];
    return older.size;
  }

  // -- events and heads

  async checkEvents(wanted) {
    const listed = new Map(this.manifest.files.map((file) => [file.path, file]));
    const files = [];
    for (const [at, runs] of this.runs.entries()) {
      if (!wanted(runs, at)) continue;
      files.push(
        await checkEventsFile({
          directory: this.directory, number: at, runs, tiles: this.tiles, workspace: this.manifest.workspace,
          listed: listed.get(eventsName(at)) ?? { size: 0, sha256: "" }, altered: this.altered,
          epoch: this.logOnly ? epochOf(this.note.origin)[1] : null, there: this.found.has(eventsName(at)),
        }),
      );
    }
    this.lost = files.some((file) => file.lost.length);
    if (this.lost && epochOf(this.note.origin)[1] === 1) {
      this.add(TAMPERED, "has lines without an event", { file: "events/index.json" });
    }
    let before = null;
    for (const file of files) {
      this.problems.push(...file.problems);
      const [first, last] = [file.events[0], file.events.at(-1)];
      if (before && first && first.time < before.time) {
        this.add(TAMPERED, "is recorded earlier than the event before", { position: file.runs[0][0] });
      }
      before = last ?? null;
    }
    return files;
  }

  /** Versions that do not follow one another; `across` says whether also from file to file. */
  checkVersions(files, across) {
    const kind = this.manifest.scope.kind;
    const heads = new Map();
    for (const file of files) {
      for (const event of file.events) {
        const head = heads.get(event.stream);
        const same = head && head.file === file.number;
        if (event.version !== (head?.version ?? 0) + 1 && (same || (across && (head || kind !== "range")))) {
          const missing = { stream: event.stream, version: (head?.version ?? 0) + 1 };
          const some = ["stream", "subject"].includes(kind);
          const where = some ? missing : { ...missing, position: event.position };
          if (!this.lost) this.gaps.push(new Problem(some ? INCOMPLETE : TAMPERED, "a version is not there", where));
        }
        heads.set(event.stream, { version: event.version, position: event.position, file: file.number });
      }
    }
    return heads;
  }

  checkCounts(files) {
    const types = Object.create(null); // a type may be called __proto__
    for (const file of files) for (const [kind, n] of file.types) types[kind] = (types[kind] ?? 0) + n;
    const total = this.total() - files.flatMap((file) => file.lost).length;
    const { events, byType } = this.manifest.counts;
    if (events !== total || (!this.logOnly && canonical(byType) !== canonical(types))) {
      this.add(TAMPERED, "counts other events than there are", { file: "MANIFEST.json" });
    }
    if (this.logOnly) return;
    const sealing = files.flatMap((file) => file.events).filter((event) => event.ledger?.kind === "ledger.heads_sealed");
    if (this.manifest.scope.kind === "log" && this.manifest.headsPosition !== (sealing.at(-1)?.position ?? 0)) {
      this.add(TAMPERED, "does not name the newest heads", { file: "MANIFEST.json" });
    }
  }

  /** The leaves of the heads map as the page says it. */
  leaves(files) {
    const events = files.flatMap((file) => file.events).filter((event) => event.position <= this.manifest.position);
    const [heads, first, named] = [new Map(), new Map(), new Map()];
    for (const event of events) {
      heads.set(event.stream, event);
      if (!event.contact || named.has(event.stream)) continue;
      first.set(event.stream, event.position);
      named.set(event.stream, new Set([event.stream]));
    }
    for (const event of events) {
      for (const one of event.named) if (named.has(one) && first.get(one) <= event.position) named.get(one).add(event.stream);
    }
    return [
      ...[...named].map(([one, streams]) => `p ${one} ${streams.size} ${hex([...streams].sort().join("\n"))}`),
      ...[...heads].map(([stream, { version, position }]) => `s ${stream} ${version} ${position}`),
    ].sort();
  }

  async checkMap(files) {
    const file = "heads/map.txt.gz";
    const growing = new Growing();
    const leaves = this.leaves(files);
    for (const leaf of leaves) growing.add(leafHash(leaf));
    const there = this.found.has(file);
    const filed = there ? new Lines(this.path(file)) : [];
    let at = 0;
    for await (const lot of filed) {
      for (const line of lot) at += at < leaves.length && line.equals(Buffer.from(leaves[at])) ? 1 : Infinity;
      if (at > leaves.length) break;
    }
    const same = at === leaves.length;
    if (growing.root().toString("hex") !== this.sealed.root && !this.altered.has(file)) {
      this.add(TAMPERED, "the heads that were sealed here are not those of the events", { position: this.manifest.headsPosition });
    } else if (there && (growing.size !== this.sealed.leaves || !same || filed.end !== "whole")) {
      this.add(TAMPERED, "is not the map that the events make", { file });
    } else if (!there && this.manifest.scope.kind !== "log") {
      this.add(INCOMPLETE, "is missing", { file });
    }
  }

  checkProofs(heads, files) {
    const [file, scope, sealed] = ["heads/proofs.json", this.manifest.scope, this.sealed];
    const proofs = this.json(file, FORMS.proofs);
    const leaves = new Map();
    for (const { leaf, index, hashes } of proofs.leaves) {
      const root = rootByInclusion(leafHash(Buffer.from(leaf)), index, sealed.leaves, hashes.map(decoded));
      if (root?.toString("hex") !== sealed.root) {
        throw new Problem(TAMPERED, "has a leaf that is not in the sealed map", { file });
      }
      const [kind, id, ...numbers] = leaf.split(" ");
      leaves.set(`${kind} ${id}`, numbers);
    }
    const take = (name) => {
      const value = leaves.get(name);
      leaves.delete(name);
      return value;
    };
    let wanted = [scope.id];
    const few = this.problems.length;
    if (scope.kind === "subject") {
      const people = [scope.id, ...(scope.absorbed ?? [])];
      const named = new Map(Object.entries(proofs.subjects));
      wanted = people.flatMap((one) => this.streamsOf(one, named.get(one), take(`p ${one}`)));
      if (Object.keys(proofs.subjects).length > people.length) {
        throw new Problem(TAMPERED, "names subjects that are not in the scope", { file });
      }
    } else if (Object.keys(proofs.subjects).length) {
      throw new Problem(TAMPERED, "names subjects in a bundle of one stream", { file });
    }
    for (const stream of [...new Set(wanted)].sort(bytewise)) {
      const leaf = take(`s ${stream}`);
      if (!leaf) throw new Problem(INCOMPLETE, `has no sealed head of ${stream}`, { file });
      const [version, position] = leaf.map(Number);
      const there = heads.get(stream) ?? { version: 0, position: 0 };
      heads.delete(stream);
      if (there.version < version) {
        const where = there.version + 1 === version ? { position } : {};
        this.add(INCOMPLETE, "versions of the stream are missing", { stream, version: there.version + 1, ...where });
      } else if (there.version !== version || there.position !== position) {
        this.add(TAMPERED, "goes on after its sealed head", { stream, position: there.position });
      }
    }
    if (leaves.size || heads.size) {
      throw new Problem(TAMPERED, "speaks of streams that are not in the scope", { file });
    }
    if (scope.kind === "subject" && this.problems.length === few) this.checkAbsorbed(files);
  }

  /** The streams that a bundle names for a person are those that were sealed. */
  streamsOf(one, named, leaf) {
    const file = "heads/proofs.json";
    if (!named || !leaf) throw new Problem(INCOMPLETE, `does not prove which streams ${one} has`, { file });
    const [total, digest] = leaf;
    if (new Set(named).size < Number(total)) {
      throw new Problem(INCOMPLETE, `the subject has ${total} streams, ${named.length} are named`, { file });
    }
    if (hex([...named].sort(bytewise).join("\n")) !== digest) {
      throw new Problem(TAMPERED, "names other streams of the subject than were sealed", { file });
    }
    return named;
  }

  /** The scope names whom the contact holds, by its own stream: each of them, and nobody else. */
  checkAbsorbed(files) {
    const [file, scope, held] = ["MANIFEST.json", this.manifest.scope, new Set()];
    for (const { stream, merge } of files.flatMap((each) => each.events)) {
      if (stream !== scope.id || !merge) continue;
      const others = formed(merge.data, FORMS.absorbed, "heads/proofs.json").absorbed_ids;
      for (const one of others) merge.kind === "contact.merged" ? held.add(one) : held.delete(one);
    }
    const missing = [...held].filter((one) => !(scope.absorbed ?? []).includes(one));
    if (missing.length) throw new Problem(INCOMPLETE, `leaves out whom the contact has absorbed: ${missing}`, { file });
    const right = { kind: "subject", id: scope.id, ...(held.size ? { absorbed: [...held].sort(bytewise) } : {}) };
    if (canonical(scope) !== canonical(right)) {
      throw new Problem(TAMPERED, "has a scope that is not this contact's", { file });
    }
  }

  checkEpochs(files) {
    const opened = files.flatMap((file) => file.events).filter(({ ledger }) => ledger?.kind === "ledger.epoch_opened");
    for (const { position, ledger } of opened) {
      formed(ledger.data, FORMS.epoch, "events/index.json");
      if (Number(ledger.data.epoch) > this.epoch) {
        this.add(INCOMPLETE, `lost, says the event at ${position}`, { position: Number(ledger.data.lost_from) || position });
      }
    }
    const said = ({ ledger: { data } }, position) => Number(data.lost_from) <= position && position <= Number(data.lost_to);
    for (const position of files.flatMap((file) => file.lost)) {
      if (opened.length && !opened.some((event) => said(event, position))) {
        this.add(TAMPERED, "is no event, and no epoch says that it was lost", { position });
      }
    }
  }

  // -- all of it

  async check({ since, fresh, sample }) {
    await this.noting(async () => {
      this.checkFolder();
      await this.checkSignature();
      this.checkManifest();
      this.checkFiles();
      this.tiles = new Tiles(this.directory, this.manifest.treeSize);
      await this.noting(() => this.checkScope());
      if (this.logOnly && FEW.includes(this.manifest.scope.kind)) {
        this.add(UNVERIFIABLE, "is of some streams, and only what events say tells which", { file: "MANIFEST.json" });
      }
      await this.checkTiles();
      await this.noting(() => this.checkGrowth());
      await this.noting(() => this.checkSealed());
      let after = 0;
      if (since !== undefined) await this.noting(() => (after = this.checkSince(since)));
      // of few streams only the whole proves that nothing is left out
      const few = FEW.includes(this.manifest.scope.kind);
      if (this.scoped) await this.checkRest(fresh && !few ? after : 0, sample);
    });
  }

  async checkRest(after, sample) {
    if (sample || after) {
      [this.said, this.sampled] = sample ? ["the sample holds", true] : [`what came after ${after} holds`, false];
      this.leave(sample ? "events that were not chosen" : `events up to ${after}`, ...WHOLE);
      const chosen = sample ? this.chosen(sample) : null;
      const files = await this.checkEvents((runs, at) => (chosen ? chosen.has(at) : runs.at(-1)[1] > after));
      if (!this.logOnly) this.checkVersions(files, false);
    } else {
      const files = await this.checkEvents(() => true);
      const blocked = this.problems.some((problem) => problem.where.position);
      if (!blocked) await this.noting(() => this.checkCounts(files));
      if (!this.logOnly) await this.checkHeads(files, blocked);
      await this.noting(() => this.checkEpochs(files));
    }
    if (this.logOnly) {
      const some = after ? ` after ${after}` : "";
      this.said = `each byte${some} is what was signed, in its place; what events say was not read`;
      this.leave(...UNREAD);
    }
    this.problems.push(...this.gaps);
  }

  /** What the verdict must name, for nobody to take it for more than it is. */
  leave(...unchecked) {
    this.unchecked.push(...unchecked.filter((each) => !this.unchecked.includes(each)));
  }

  async checkHeads(files, blocked) {
    const heads = this.checkVersions(files, !blocked);
    const kind = this.manifest.scope.kind;
    if (blocked || !this.sealed) return;
    if (["workspace", "log"].includes(kind)) await this.checkMap(files);
    else if (FEW.includes(kind)) await this.noting(() => this.checkProofs(heads, files));
  }

  total() {
    return this.runs.map(count).reduce((sum, n) => sum + n, 0);
  }

  /** The files of so many random events. */
  chosen(sample) {
    const sizes = this.runs.map(count);
    const total = sizes.reduce((sum, n) => sum + n, 0);
    if (sample >= total) return new Set(sizes.keys());
    const files = new Set();
    for (let left = sample; left; left--) {
      let place = Math.floor(Math.random() * total);
      files.add(sizes.findIndex((size) => (place -= size) < 0));
    }
    return files;
  }

  verdict() {
    const order = ({ code, rank, where }) => [code, rank, where.position ?? Number.MAX_SAFE_INTEGER];
    const worst = this.problems.reduce((best, one) => {
      if (!best) return one;
      const [a, b] = [order(one), order(best)];
      const at = a.findIndex((value, place) => value !== b[place]);
      return at >= 0 && a[at] < b[at] ? one : best;
    }, null);
    const where = worst?.where ?? {};
    const said = { position: where.position ?? null, stream: where.stream ?? null, version: where.version ?? null };
    return {
      result: RESULTS[worst?.code ?? OK], ...said, file: said.position ? null : (where.file ?? null),
      reason: worst?.message ?? this.said, size: this.note.size, events: this.total(), read: this.logOnly ? "log" : "events",
      ...(worst || this.sampled ? NOTHING : this.complete()), notChecked: worst ? null : this.unchecked,
    };
  }

  /** What none is missing of, up to which position, and when the heads were recorded that say so. */
  complete() {
    const { scope, position, treeSize } = this.manifest;
    return { scope, upto: { log: treeSize, range: scope.to }[scope.kind] ?? position, sealed: this.time };
  }
}
