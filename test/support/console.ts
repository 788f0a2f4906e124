// What is written to the console is recorded, and shown if its test fails. After each test, no line may contain a part of a secret.
import { afterEach, inject } from "vitest";
import { findSecret, keepSecret } from "./secrets.ts";

export interface ConsoleLine {
  method: "debug" | "error" | "info" | "log" | "warn";
  text: string;
  /** The members of a log line; none if the text isn't one. */
  log: Record<string, unknown>;
}

const lines: ConsoleLine[] = [];
const { log: show } = console;
let checked = 0;

/** Records from now on, and checks after each test of this file. */
export function checkConsole(): void {
  for (const method of ["debug", "error", "info", "log", "warn"] as const) {
    console[method] = (...words: unknown[]) => {
      const text = words.map(String).join(" ");
      lines.push({ method, text, log: text.startsWith("{") ? JSON.parse(text) : {} });
    };
  }
  const { variables, ownerDatabaseUrl } = inject("localStack");
  for (const url of [variables.DATABASE_URL, ownerDatabaseUrl]) keepSecret(new URL(url).password);
  afterEach(({ task }) => {
    const fresh = lines.slice(checked);
    checked = lines.length;
    if (task.result?.state === "fail") for (const { text } of fresh) show(text);
    for (const { text } of fresh) {
      const secret = findSecret(text);
      if (secret !== undefined)
        throw new Error(`the console shows ${JSON.stringify(secret)}, a part of a secret: ${text}`);
    }
  });
}

/** The lines so far in this isolate. Tests of one file may run side by side. */
export const listLines = (): readonly ConsoleLine[] => lines;

/** The log lines of a request; one, unless something is wrong. */
export const listLogLines = (requestId: string | null): Record<string, unknown>[] =>
  lines.map(({ log }) => log).filter((log) => log["request_id"] === requestId);
