// Renews the generated blocks of the repository's Markdown, and generated files, in place, formatted as the formatter wants them.
// A file that is current is not touched. With --check nothing is written: each stale block or file is a line, and the exit code
// is 1.
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { format } from "oxfmt";
import { createBlocks } from "./blocks.ts";
import { findBlock, replaceBlocks } from "./generated.ts";
import { writeRecordTypes } from "./record-types.ts";

const ROOT = join(import.meta.dirname, "..");
const FILES = ["*.md", "{docs,bench,test}/**/*.md"];
const isCheck = process.argv.includes("--check");

const options = JSON.parse(readFileSync(join(ROOT, ".oxfmtrc.json"), "utf8")) as { printWidth: number };
const blocks = await createBlocks();
const formatted = new Map<string, string>();
for (const [name, { markdown }] of blocks) {
  const { code } = await format("block.md", markdown, { printWidth: options.printWidth });
  formatted.set(name, `<!-- generated: ${name} -->\n\n${code.trim()}\n\n<!-- /generated -->`);
}

for (const file of globSync(FILES, { cwd: ROOT })) {
  const path = join(ROOT, file);
  const source = readFileSync(path, "utf8");
  const renewed = replaceBlocks(source, (name, old) => {
    findBlock(blocks, name);
    const current = formatted.get(name) ?? "";
    if (isCheck && current !== old) {
      console.error(`${file}: the generated block "${name}" is stale; npm run fix renews it`);
      process.exitCode = 1;
    }
    return current;
  });
  if (!isCheck && renewed !== source) writeFileSync(path, renewed);
}

const RECORD_TYPES = "examples/typescript/crew-run.ts";
const { code } = await format(RECORD_TYPES, writeRecordTypes(), options);
if (code !== readFileSync(join(ROOT, RECORD_TYPES), "utf8")) {
  if (!isCheck) writeFileSync(join(ROOT, RECORD_TYPES), code);
  else {
    console.error(`${RECORD_TYPES} is stale; npm run fix renews it`);
    process.exitCode = 1;
  }
}
