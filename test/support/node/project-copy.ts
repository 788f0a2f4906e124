// A copy of the project that a test may edit, as a new clone after `npm ci` looks: without settings and builds, even if an operator
// has filled in this one.
import { globSync } from "node:fs";
import { cp, mkdtemp, readFile, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { readDefault } from "../../../docs/settings.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const LEFT_OUT = /^(?:node_modules|\.git|\.wrangler|\.dev|dist|\.env.*|\.dev\.vars|wrangler\..+\.toml)$/;

/** Returns its folder, which the caller removes. The installed packages are shared. */
export async function copyProject(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "crew-run-reader-"));
  await cp(ROOT, folder, { recursive: true, filter: (path) => !LEFT_OUT.test(basename(path)) });
  for (const path of globSync("{.,test/*}/node_modules", { cwd: ROOT }))
    await symlink(join(ROOT, path), join(folder, path));
  await editFile(join(folder, "wrangler.toml"), emptyConfig);
  return folder;
}

export async function editFile(path: string, change: (text: string) => string): Promise<void> {
  await writeFile(path, change(await readFile(path, "utf8")));
}

/** Takes back what an operator may have written into wrangler.toml instead of a copy of it. */
function emptyConfig(text: string): string {
  return text
    .replaceAll(/^(?=(?:routes|workers_dev|limits|region) *=)/gm, "# ")
    .replace(/^mode = .*\n/m, "")
    .replace(/^# region = .*\n/m, '$&mode = "smart"\n')
    .replaceAll(/^([A-Z_]+) = .*/gm, (_, name: string) => `${name} = "${readDefault(name) ?? ""}"`);
}
