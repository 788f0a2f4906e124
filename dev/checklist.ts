// The findings of doctor and smoke, and their form on the terminal. Prints nothing by itself.

export interface Finding {
  /** Passed, failed, worth knowing, or not checked because of a failure above. */
  mark: "ok" | "bad" | "hint" | "skipped";
  /** One line. */
  text: string;
  /** What to do. */
  remedy?: string;
}

const SIGNS: Record<Finding["mark"], string> = { ok: "✓", bad: "✗", hint: "·", skipped: "–" };

export const ok = (text: string): Finding => ({ mark: "ok", text });
export const bad = (text: string, remedy: string): Finding => ({ mark: "bad", text, remedy });
export const hint = (text: string, remedy: string): Finding => ({ mark: "hint", text, remedy });
export const skipped = (text: string): Finding => ({ mark: "skipped", text });

/** One line for the finding, and its remedy indented below. */
export function formatFinding({ mark, text, remedy }: Finding): string {
  return `${SIGNS[mark]} ${text}${remedy === undefined ? "" : `\n${remedy.replaceAll(/^/gm, "    ")}`}`;
}

/** The reason of a failed request. Node's message is "fetch failed"; its cause has the reason. */
export function explainError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return "no response in time";
  if (error instanceof SyntaxError) return "the response isn't JSON";
  const { cause } = error;
  if (!(cause instanceof Error)) return error.message;
  return "code" in cause ? `${String(cause.code)} ${cause.message}`.trim() : cause.message;
}
