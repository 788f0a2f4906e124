// What a check has found, and how a list of findings is put on the terminal. Pure but for the printing.

/**
 * - `ok`, `bad`: the check passed, or not; what is bad says what to do
 * - `hint`: worth knowing, fails nothing
 * - `skipped`: could not be checked, because of something bad above
 */
export type Mark = "ok" | "bad" | "hint" | "skipped";

export interface Finding {
  mark: Mark;
  /** One line. */
  text: string;
  /** What to do. */
  remedy?: string;
}

const signs: Record<Mark, string> = { ok: "✓", bad: "✗", hint: "·", skipped: "–" };

export const ok = (text: string): Finding => ({ mark: "ok", text });
export const bad = (text: string, remedy: string): Finding => ({ mark: "bad", text, remedy });
export const hint = (text: string, remedy?: string): Finding =>
  remedy === undefined ? { mark: "hint", text } : { mark: "hint", text, remedy };
export const skipped = (text: string): Finding => ({ mark: "skipped", text });

/** One line a finding, and one below it for its remedy. */
export function formatFinding({ mark, text, remedy }: Finding): string {
  const lines = remedy?.split("\n").map((line) => `\n    ${line}`) ?? [];
  return `${signs[mark]} ${text}${lines.join("")}`;
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
