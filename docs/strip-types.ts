// TypeScript as JavaScript, with its comments.
import { stripTypeScriptTypes } from "node:module";

/** Without Node's warning that its function may still change. */
export function stripTypes(source: string): string {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(source).replaceAll(/^\s*\n(?=\s*\n)/gm, "");
  } finally {
    process.emitWarning = emitWarning;
  }
}
