// Verifies a bundle of crm_es offline: node verify.mjs full DIR --origin ORIGIN --public-key FILE. Node alone, no package.
//   since CHECKPOINT DIR [--new] · sample NUMBER DIR · locate DIR OTHER · --no-custody · --log-only
// Independent of crm_verify.py: written from docs/bundle-format.md, recursive where that one is not. It holds a whole log in
// memory, so it is for checking the checker rather than for the largest logs. Exit codes as there; the last line is JSON.
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

import { Bundle } from "./bundle.mjs";
import { INCOMPLETE, OK, Problem, RESULTS, TAMPERED, UNVERIFIABLE } from "./problem.mjs";
import { canonical, pinnedKey } from "./text.mjs";
import { Tiles } from "./tree.mjs";

const OPTIONS = {
  origin: { type: "string" }, "public-key": { type: "string" }, "no-custody": { type: "boolean" }, new: { type: "boolean" },
  jobs: { type: "string" }, seed: { type: "string" }, "log-only": { type: "boolean" },
};
const TILE = /^((?:x[0-9]{3}\/){0,3}[0-9]{3})(?:\.p\/([0-9]{1,3}))?$/;
const OPERANDS = { full: 1, since: 2, sample: 2, locate: 2 };

function tilesIn(directory) {
  const top = [join(directory, "tiles"), join(directory, "tile")].find(existsSync) ?? directory;
  const row = join(top, "0");
  let size = 0;
  const look = (folder) => {
    for (const entry of existsSync(join(row, folder)) ? readdirSync(join(row, folder), { withFileTypes: true }) : []) {
      const name = folder + entry.name;
      const tile = TILE.exec(name);
      if (entry.isDirectory()) look(`${name}/`);
      else if (tile && statSync(join(row, name), { throwIfNoEntry: false })?.isFile()) {
        size = Math.max(size, Number(tile[1].replaceAll(/[^0-9]/g, "")) * 256 + Number(tile[2] ?? 256));
      }
    }
  };
  look("");
  return new Tiles(dirname(top), size, basename(top));
}

/** The first position at which two logs differ. */
function locate(one, other) {
  const trees = [tilesIn(one), tilesIn(other)];
  const common = Math.min(...trees.map((tree) => tree.size));
  const said = (code, reason, position = null) => ({
    result: RESULTS[code], position, file: null, stream: null, version: null, size: common, events: 0, reason,
  });
  if (!common) return said(UNVERIFIABLE, "no tiles");
  for (let number = 0; number * 256 < common; number++) {
    const width = Math.min(256, common - number * 256);
    const above = (tree) => tree.read(1, Math.floor(number / 256)).subarray((number % 256) * 32, (number % 256) * 32 + 32);
    try {
      if (width === 256 && above(trees[0]).equals(above(trees[1]))) continue;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
    }
    try {
      const [a, b] = trees.map((tree) => tree.read(0, number));
      for (let at = 0; at < width; at++) {
        if (Buffer.compare(a.subarray(at * 32, at * 32 + 32), b.subarray(at * 32, at * 32 + 32))) {
          return said(TAMPERED, "the logs differ from here on", number * 256 + at + 1);
        }
      }
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      return said(INCOMPLETE, `${error.where.file} ${error.message}`, number * 256 + 1);
    }
  }
  return said(OK, `the logs, of ${trees.map((tree) => tree.size).join(" and ")} events, are the same up to ${common}`);
}

export async function verify(words) {
  const unverifiable = (reason, file = null) => ({ result: RESULTS[UNVERIFIABLE], position: null, file, reason });
  try {
    const { values, positionals } = parseArgs({ args: words, options: OPTIONS, allowPositionals: true });
    const [mode, ...rest] = positionals;
    if (!Object.hasOwn(OPERANDS, mode ?? "") || rest.length !== OPERANDS[mode]) return unverifiable("say a mode, what it needs, and a directory");
    if (mode === "locate") return locate(...rest);
    if (values.origin === undefined || values["public-key"] === undefined) {
      return unverifiable("--origin and --public-key are needed");
    }
    let key;
    try {
      key = pinnedKey(readFileSync(values["public-key"]));
    } catch (error) {
      return unverifiable(`holds no Ed25519 key: ${error.message}`, values["public-key"]);
    }
    if (values["log-only"] && mode === "sample") return unverifiable("--log-only goes with full and since");
    const [custody, logOnly] = [!values["no-custody"], Boolean(values["log-only"])];
    const bundle = new Bundle(rest.at(-1), { origin: values.origin, key, custody, logOnly });
    if (mode === "sample" && !/^[0-9]{1,18}$/.test(rest[0])) return unverifiable("a sample is of a number of events");
    const sample = mode === "sample" ? Number(rest[0]) : 0;
    await bundle.check({ since: mode === "since" ? rest[0] : undefined, fresh: values.new, sample });
    return bundle.verdict();
  } catch (error) {
    return unverifiable(`the verifier failed: ${error}`);
  }
}

if (process.argv[2] === "--lines") {
  // Arguments as JSON lists, one a line; verdicts likewise: for who has many to ask.
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${canonical(await verify(JSON.parse(line)))}\n`);
  }
} else if (process.argv[1] === import.meta.filename || process.argv[1]?.endsWith("verify.mjs")) {
  const verdict = await verify(process.argv.slice(2));
  console.log(canonical(verdict));
  process.exitCode = RESULTS.indexOf(verdict.result);
}
