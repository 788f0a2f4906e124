// Every process that the benchmark starts is started here, and ends with it: on return, error, SIGINT or SIGTERM.
// Calls to a helper process are bounded in time. What a helper does is its own module's matter.

import { type ChildProcess, fork, spawn, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";

const running = new Set<ChildProcess>();

process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
process.on("SIGINT", () => process.exit(130));
process.on("SIGTERM", () => process.exit(143));

function keep<Child extends ChildProcess>(child: Child): Child {
  running.add(child);
  child.once("exit", () => running.delete(child));
  return child;
}

/** Starts a program; its environment is this process's. */
export const start = (command: string, args: string[], stdio: StdioOptions): ChildProcess =>
  keep(spawn(command, args, { stdio }));

/** Ends a process by its handle and waits until it is gone. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

/**
 * Runs a program to its end within `timeoutSeconds`.
 * @throws with the end of its output when it fails
 */
export async function run(
  command: string,
  args: string[],
  options: { cwd: string; env?: NodeJS.ProcessEnv; timeoutSeconds: number },
): Promise<string> {
  const child = keep(
    spawn(command, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: options.timeoutSeconds * 1000,
      killSignal: "SIGKILL",
    }),
  );
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} failed:\n${output.slice(-2000)}`);
  return output;
}

/** A helper process that answers one call at a time. */
export type Helper<Call, Reply> = {
  readonly pid: number;
  call(call: Call): Promise<Reply>;
  end(): Promise<void>;
};

type Envelope<Reply> = { reply: Reply } | { error: string };

/** Forks a TypeScript module which serves its calls with `answerCalls`. */
export function startHelper<Call, Reply>(module: URL, timeoutSeconds: number): Helper<Call, Reply> {
  const child = keep(fork(module, { serialization: "advanced" }));
  const name = basename(module.pathname);
  if (child.pid === undefined) throw new Error(`${name} did not start`);
  return {
    pid: child.pid,
    async call(call) {
      const { promise, resolve, reject } = Promise.withResolvers<Reply>();
      const timer = setTimeout(() => reject(new Error(`${name} took over ${timeoutSeconds} s`)), timeoutSeconds * 1000);
      const onMessage = (envelope: Envelope<Reply>): void =>
        "error" in envelope ? reject(new Error(envelope.error)) : resolve(envelope.reply);
      const onExit = (): void => reject(new Error(`${name} ended during a call`));
      child.once("message", onMessage).once("exit", onExit);
      child.send(call as object);
      try {
        return await promise;
      } finally {
        clearTimeout(timer);
        child.off("message", onMessage).off("exit", onExit);
      }
    },
    end: () => end(child),
  };
}

/** The other side of `startHelper`: runs in the forked module, and ends it when the parent goes. */
export function answerCalls<Call, Reply>(answer: (call: Call) => Reply | Promise<Reply>): void {
  process.on("disconnect", () => process.exit(0));
  process.on("SIGINT", () => undefined);
  process.on("message", async (call: Call) => {
    try {
      process.send?.({ reply: await answer(call) });
    } catch (error) {
      process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  });
}

/**
 * CPU time that a process has used so far, in microseconds, user and system, all its threads.
 * From schedstat (nanoseconds) where the kernel has it, else from stat (ticks of 10 ms).
 */
export function cpuMicroseconds(pid: number): number {
  try {
    let nanoseconds = 0;
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const text = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8");
      nanoseconds += Number(text.slice(0, text.indexOf(" ")));
    }
    return nanoseconds / 1000;
  } catch {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10_000;
  }
}
