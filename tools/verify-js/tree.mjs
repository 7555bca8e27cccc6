// RFC 6962 trees: hashes, proofs, and the tiles of C2SP tlog-tiles.
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";

import { INCOMPLETE, Problem, TAMPERED } from "./problem.mjs";

export const sha256 = (...parts) => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};
const LEAF = Buffer.from([0]);
const NODE = Buffer.from([1]);
export const leafHash = (entry) => sha256(LEAF, entry);
export const nodeHash = (left, right) => sha256(NODE, left, right);

/** The largest power of two below n. */
const half = (n) => {
  let power = 1;
  while (power * 2 < n) power *= 2;
  return power;
};

/** The root over hashes, split as the RFC splits them: the last may stand for a smaller tree than the others. */
export function rootOf(hashes) {
  if (!hashes.length) return sha256();
  if (hashes.length === 1) return hashes[0];
  const middle = half(hashes.length);
  return nodeHash(rootOf(hashes.slice(0, middle)), rootOf(hashes.slice(middle)));
}

export const split = (data) =>
  Array.from({ length: data.length / 32 }, (_, at) => data.subarray(at * 32, at * 32 + 32));

/** What an inclusion proof comes to (the lowest sibling first), or null. Recursive, as RFC 6962 2.1.1 says it. */
export function rootByInclusion(leaf, index, size, proof) {
  if (!Number.isInteger(index) || index < 0 || index >= size) return null;
  const rest = [...proof];
  const fold = (at, count) => {
    if (count === 1) return leaf;
    if (!rest.length) return null;
    const sibling = rest.pop();
    const middle = half(count);
    const inner = at < middle ? fold(at, middle) : fold(at - middle, count - middle);
    if (!inner) return null;
    return at < middle ? nodeHash(inner, sibling) : nodeHash(sibling, inner);
  };
  const root = fold(index, size);
  return rest.length ? null : root;
}

/** Whether the tree of `second` leaves begins with the tree of `first` (RFC 6962 2.1.2, recursive). */
export function consistent(first, old, second, fresh, proof) {
  if (!(first > 0 && first < second)) return first === second && old.equals(fresh) && !proof.length;
  const rest = [...proof];
  const fold = (m, n, whole) => {
    if (m === n) {
      if (whole) return [old, old];
      const hash = rest.pop();
      return hash ? [hash, hash] : null;
    }
    if (!rest.length) return null;
    const middle = half(n);
    const sibling = rest.pop();
    if (m <= middle) {
      const inner = fold(m, middle, whole);
      return inner && [inner[0], nodeHash(inner[1], sibling)];
    }
    const inner = fold(m - middle, n - middle, false);
    return inner && [nodeHash(sibling, inner[0]), nodeHash(sibling, inner[1])];
  };
  const roots = fold(first, second, true);
  return Boolean(roots) && !rest.length && roots[0].equals(old) && roots[1].equals(fresh);
}

export class Growing {
  size = 0;
  peaks = [];

  add(leaf) {
    let [hash, count] = [leaf, this.size];
    for (; count % 2; count = (count - 1) / 2) hash = nodeHash(this.peaks.pop(), hash);
    this.peaks.push(hash);
    this.size += 1;
  }

  root() {
    return this.peaks.length ? this.peaks.reduceRight((right, left) => nodeHash(left, right)) : sha256();
  }
}

/** The tiles of a tree of that size, in a folder of a directory. */
export class Tiles {
  constructor(directory, size, folder = "tiles") {
    Object.assign(this, { directory, size, folder, cache: new Map() });
  }

  count(level) {
    return Math.floor(this.size / 256 ** level);
  }

  width(level, number) {
    return Math.min(256, this.count(level) - number * 256);
  }

  name(level, number) {
    const groups = [String(number % 1000).padStart(3, "0")];
    for (let rest = Math.floor(number / 1000); rest; rest = Math.floor(rest / 1000)) {
      groups.unshift(`x${String(rest % 1000).padStart(3, "0")}`);
    }
    const width = this.width(level, number);
    return `${this.folder}/${level}/${groups.join("/")}${width === 256 ? "" : `.p/${width}`}`;
  }

  read(level, number) {
    const file = this.name(level, number);
    if (this.cache.has(file)) return this.cache.get(file);
    const path = join(this.directory, file);
    const there = statSync(path, { throwIfNoEntry: false });
    if (!there?.isFile()) throw new Problem(INCOMPLETE, "is missing", { file });
    const right = there.size === 32 * this.width(level, number);
    if (!right) throw new Problem(TAMPERED, `has ${there.size} bytes`, { file });
    const data = readFileSync(path);
    if (this.cache.size > 256) this.cache.clear();
    this.cache.set(file, data);
    return data;
  }

  /** A tile that the tile above vouches for; the right edge is held by the root. */
  proven(level, number) {
    const data = this.read(level, number);
    if (this.width(level, number) === 256) {
      const place = (number % 256) * 32;
      const above = this.read(level + 1, Math.floor(number / 256)).subarray(place, place + 32);
      if (!rootOf(split(data)).equals(above)) {
        throw new Problem(TAMPERED, "is not what the tile above says", { file: this.name(level, number) });
      }
    }
    return data;
  }

  /** The tiles that the root of a tree of that size is folded from, the lowest first. */
  edge(size) {
    const found = [];
    for (let level = 0; size >= 256 ** level; level++) {
      const count = Math.floor(size / 256 ** level);
      if (count % 256) found.push([level, Math.floor(count / 256), count % 256]);
    }
    return found;
  }

  root(size) {
    let rest = [];
    for (const [level, number, width] of this.edge(size)) {
      rest = [rootOf([...split(this.read(level, number).subarray(0, width * 32)), ...rest])];
    }
    return rest.length ? rest[0] : sha256();
  }
}
