// `npm run test:vectors -- FOLDER`: published test vectors against this project's own verification, in workerd as in production.
// FOLDER holds json_web_signature_test.json and json_web_key_test.json of C2SP/wycheproof, which are not part of the project.
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { startVitest } from "vitest/node";
import type { VectorFile } from "./vector-file.ts";

const ROOT = join(import.meta.dirname, "../..");
const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error("Usage: npm run test:vectors -- FOLDER\nThe README says where to get the folder's files.");
  process.exit(2);
}

// npm runs this in the project's folder, wherever it was called.
const files = resolve(process.env["INIT_CWD"] ?? "", folder);
const read = async (name: string): Promise<VectorFile> => JSON.parse(await readFile(join(files, name), "utf8"));

const vectors = {
  signatures: await read("json_web_signature_test.json"),
  keys: await read("json_web_key_test.json"),
};
const vitest = await startVitest(
  "test",
  [],
  { root: ROOT, config: false, watch: false, include: ["test/vectors/*.vectors.ts"], provide: { vectors } },
  { plugins: [cloudflareTest({ wrangler: { configPath: join(ROOT, "wrangler.toml") } })] },
);
await vitest.close();
