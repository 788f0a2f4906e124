// What a check has found, and how a list of findings is put on the terminal. Prints nothing by itself.

/** Passed, failed, worth knowing, or not checked because of a failure above. */
export type Mark = "ok" | "bad" | "hint" | "skipped";

export interface Finding {
  mark: Mark;
  /** One line. */
  text: string;
  /** What to do. */
  remedy?: string;
}

const SIGNS: Record<Mark, string> = { ok: "✓", bad: "✗", hint: "·", skipped: "–" };

export const ok = (text: string): Finding => ({ mark: "ok", text });
export const bad = (text: string, remedy: string): Finding => ({ mark: "bad", text, remedy });
export const hint = (text: string, remedy: string): Finding => ({ mark: "hint", text, remedy });
export const skipped = (text: string): Finding => ({ mark: "skipped", text });

/** One line for the finding, and its remedy indented below. */
export function formatFinding({ mark, text, remedy }: Finding): string {
  return `${SIGNS[mark]} ${text}${remedy === undefined ? "" : `\n${remedy.replaceAll(/^/gm, "    ")}`}`;
}

/** How it went, in one line. */
export function summarize(findings: readonly Finding[]): string {
  const count = (mark: Mark) => findings.filter((finding) => finding.mark === mark).length;
  const skips = count("skipped") === 0 ? "" : `, ${count("skipped")} not checked`;
  return `${count("ok")} ✓, ${count("bad")} ✗${skips}`;
}

export function isHealthy(findings: readonly Finding[]): boolean {
  return findings.every(({ mark }) => mark === "ok" || mark === "hint");
}
