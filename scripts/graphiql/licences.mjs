// Prints the licence of every package that went into the bundle, from esbuild's metafile.
import { existsSync, readFileSync, readdirSync } from "node:fs";

const { inputs } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const folder = (path) => path.match(/^(.*node_modules\/(?:@[^/]+\/)?[^/]+)/)?.[1];
const packages = [...new Set(Object.keys(inputs).map(folder).filter(Boolean))].sort();
for (const path of packages) {
  const { name, version, license } = JSON.parse(readFileSync(`${path}/package.json`, "utf8"));
  const file = readdirSync(path).find((entry) => /^licen[cs]e/i.test(entry));
  console.log(`${"=".repeat(80)}\n${name} ${version} (${license})\n`);
  if (file && existsSync(`${path}/${file}`)) console.log(readFileSync(`${path}/${file}`, "utf8").trim() + "\n");
}
