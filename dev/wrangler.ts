// Runs wrangler's commands without telemetry, error reports, update checks or log files.
// Leaves `wrangler dev`, which stays, to worker-process.ts.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

export const ROOT_DIRECTORY = fileURLToPath(new URL("..", import.meta.url));
export const WRANGLER_SCRIPT = fileURLToPath(new URL("../node_modules/wrangler/bin/wrangler.js", import.meta.url));

export const QUIET_ENVIRONMENT = {
  DO_NOT_TRACK: "1",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_WRITE_LOGS: "false",
};

/** Tells deploy-guard.ts that the caller has checked the settings, or that nothing is uploaded. */
export const CHECKED_VARIABLE = "CREW_RUN_READER_CHECKED";

/** Runs one command in the project's folder. Its output is shown, or with `capture` returned. */
export async function runWrangler(
  args: readonly string[],
  options: { capture: boolean },
): Promise<{ exitCode: number; output: string }> {
  const child = spawn(process.execPath, [WRANGLER_SCRIPT, ...args], {
    cwd: ROOT_DIRECTORY,
    env: { ...process.env, ...QUIET_ENVIRONMENT, [CHECKED_VARIABLE]: "true" },
    stdio: options.capture ? ["ignore", "pipe", "pipe"] : "inherit",
  });
  const streams = [child.stdout, child.stderr].map(async (stream) => (stream === null ? "" : text(stream)));
  const [exitCode] = await once(child, "close");
  return { exitCode: typeof exitCode === "number" ? exitCode : 1, output: (await Promise.all(streams)).join("") };
}
