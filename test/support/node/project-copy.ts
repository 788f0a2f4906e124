// A copy of the project that a test may edit, as a new clone after `npm ci` looks: without settings and builds.
import { cp, mkdtemp, readFile, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const LEFT_OUT = /^(?:node_modules|\.git|\.wrangler|\.dev|dist|\.env.*|\.dev\.vars)$/;

/** Returns its folder, which the caller removes. The installed packages are shared. */
export async function copyProject(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "crew-run-reader-"));
  await cp(ROOT, folder, { recursive: true, filter: (path) => !LEFT_OUT.test(basename(path)) });
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  return folder;
}

export async function editFile(path: string, change: (text: string) => string): Promise<void> {
  await writeFile(path, change(await readFile(path, "utf8")));
}
