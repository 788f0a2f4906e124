// TypeScript as formatted JavaScript, with its comments.
import { readFile } from "node:fs/promises";
import { stripTypeScriptTypes } from "node:module";
import { format } from "oxfmt";

export async function stripTypes(source: string): Promise<string> {
  // A removed line would leave an empty one.
  const stripped = stripQuietly(source).replaceAll(/^\s*\n(?=\s*\n)/gm, "");
  const options = JSON.parse(await readFile(`${import.meta.dirname}/../.oxfmtrc.json`, "utf8")) as {
    printWidth: number;
  };
  return (await format("source.js", stripped, options)).code.trimEnd();
}

/** Without Node's warning that its function may still change. */
function stripQuietly(source: string): string {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(source);
  } finally {
    process.emitWarning = emitWarning;
  }
}
