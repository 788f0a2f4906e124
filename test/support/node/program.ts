// Small programs in the languages of the documents' samples: written into a folder, compiled if necessary, and run.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect } from "vitest";

const TIMEOUT_MS = 50_000;
/** The first program compiles Go's library. */
export const COMPILE_TIMEOUT_MS = 240_000;

export interface Program {
  files: Record<string, string>;
  /** With the files in this folder. */
  command: (directory: string) => string[];
  isGo?: boolean;
}

type Files = Record<string, string>;

export const node = (main: string, files: Files = {}): Program => ({
  files: { ...files, "package.json": `{"type":"module"}`, "main.js": main },
  command: (directory) => [process.execPath, join(directory, "main.js")],
});

export const python = (main: string, files: Files = {}): Program => ({
  files: { ...files, "main.py": main },
  command: (directory) => ["python3", join(directory, "main.py")],
});

export const sh = (code: string): Program => ({ files: {}, command: () => ["sh", "-c", code] });

/** `body` is that of a function that returns an error. */
export const go = (imports: string[], body: string, files: Files = {}): Program => ({
  files: {
    ...files,
    "main.go": `package main
import ("${imports.join('"; "')}")
func run() error {
${body}}
func main() { if err := run(); err != nil { panic(err) } }`,
  },
  command: (directory) => [join(directory, "program")],
  isGo: true,
});

/** Whether to skip a language, because its command isn't installed. Never in CI. */
export const isMissing = (command: string): boolean =>
  process.env["CI"] === undefined && spawnSync("sh", ["-c", `command -v ${command}`]).status !== 0;

/** Writes the program into a subfolder, and returns a function that starts it, each time in its own folder. */
export async function install({ files, command, isGo = false }: Program, folder: string) {
  const directory = await mkdtemp(join(folder, "program-"));
  for (const [name, content] of Object.entries(files)) await writeFile(join(directory, name), content);
  if (isGo) {
    const { HOME = folder } = process.env;
    const env = { HOME, CGO_ENABLED: "0", GOTOOLCHAIN: "local" };
    const words = ["go", "build", "-o", "program", ...Object.keys(files)];
    const compiled = await launch(words, directory, env, COMPILE_TIMEOUT_MS).ended;
    expect(compiled).toEqual({ code: 0, stdout: "", stderr: "" });
  }
  return async (env: object) => launch(command(directory), await mkdtemp(join(directory, "run-")), env);
}

export function launch([command = "", ...words]: string[], cwd: string, env: object = {}, timeout = TIMEOUT_MS) {
  // In its own process group, all of which an interrupt reaches, as Ctrl-C does.
  const options = { cwd, env: { PATH: process.env["PATH"], ...env }, timeout, detached: true } as const;
  const child = spawn(command, words, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  const ended = Promise.all([once(child, "close"), text(child.stdout), text(child.stderr)]);
  return {
    ended: ended.then(([[code], stdout, stderr]) => ({ code: code as number | null, stdout, stderr })),
    interrupt: () => process.kill(-(child.pid ?? Number.NaN), "SIGINT"),
  };
}
