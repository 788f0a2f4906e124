// Reads json_web_signature_test.json and json_web_key_test.json of C2SP/wycheproof, which are not part of the project, from the
// folder that the environment variable VECTORS names.
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { VectorFile, VectorFiles } from "./vector-files.ts";

/** Nothing if the variable is not set. */
export function readVectors(): VectorFiles | undefined {
  const folder = process.env["VECTORS"];
  if (folder === undefined) return undefined;
  // npm runs scripts in the project's folder, wherever it was called.
  const path = resolve(process.env["INIT_CWD"] ?? "", folder);
  const read = (name: string) => JSON.parse(readFileSync(join(path, name), "utf8")) as VectorFile;
  return { signatures: read("json_web_signature_test.json"), keys: read("json_web_key_test.json") };
}
