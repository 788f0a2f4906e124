// Runs wrangler's commands without telemetry, error reports, update checks or log files of its own.
// `wrangler dev`, which stays, is worker-process.ts's.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const wrangler = fileURLToPath(new URL("../node_modules/wrangler/bin/wrangler.js", import.meta.url));

const quiet = {
  DO_NOT_TRACK: "1",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_WRITE_LOGS: "false",
};

/**
 * Runs one command in the project's folder.
 * @param options.capture keeps the output back instead of showing it
 * @returns the exit code, and the output if it was captured
 */
export async function runWrangler(
  args: readonly string[],
  options: { capture: boolean },
): Promise<{ exitCode: number; output: string }> {
  const child = spawn(process.execPath, [wrangler, ...args], {
    cwd: root,
    env: { ...process.env, ...quiet },
    stdio: options.capture ? ["ignore", "pipe", "pipe"] : "inherit",
  });
  const streams = [child.stdout, child.stderr].map(async (stream) => (stream === null ? "" : text(stream)));
  const [exitCode] = await once(child, "close");
  return { exitCode: typeof exitCode === "number" ? exitCode : 1, output: (await Promise.all(streams)).join("") };
}
