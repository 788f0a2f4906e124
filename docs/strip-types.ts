// TypeScript as JavaScript, with its comments and with blanks where types were.
import { stripTypeScriptTypes } from "node:module";

/** Without Node's warning that its function may still change. */
export function stripTypes(source: string): string {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    // A removed line would leave an empty one.
    return stripTypeScriptTypes(source).replaceAll(/^\s*\n(?=\s*\n)/gm, "");
  } finally {
    process.emitWarning = emitWarning;
  }
}
