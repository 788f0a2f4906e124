// `npm run test:mutants [-- WORD]`: applies each small harmful change of mutants.ts to a copy of the project, runs the tests
// that must notice it, and lists those that none noticed. For maintainers: it takes about fifteen minutes. A change that no longer
// applies is an error. WORD chooses the changes whose file holds it.
import { spawnSync } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MUTANTS } from "./mutants.ts";

const ROOT = join(import.meta.dirname, "../..");
const LEFT_OUT = /\/(node_modules|\.git|\.wrangler|dist|bench)(\/|$)/;
const RUN_TIMEOUT_MS = 120_000;

const directory = await mkdtemp(join(tmpdir(), "mutants-"));
const survivors: string[] = [];
let tried = 0;
try {
  await cp(ROOT, directory, { recursive: true, filter: (path) => !LEFT_OUT.test(path.slice(ROOT.length)) });
  await symlink(join(ROOT, "node_modules"), join(directory, "node_modules"));
  for (const [file, from, to, tests] of MUTANTS.filter(([name]) => name.includes(process.argv[2] ?? ""))) {
    const path = join(directory, file);
    const source = await readFile(path, "utf8");
    if (source.split(from).length !== 2) throw new Error(`${file}: ${JSON.stringify(from)} does not stand there once`);
    await writeFile(
      path,
      source.replace(from, () => to),
    );
    const files = tests.split(" ").map((name) => `test/${name}.test.ts`);
    const { status } = spawnSync(process.execPath, ["node_modules/vitest/vitest.mjs", "run", "--bail=1", ...files], {
      cwd: directory,
      stdio: "ignore",
      timeout: RUN_TIMEOUT_MS,
    });
    await writeFile(path, source);
    tried += 1;
    const name = `${file}: ${from.trim()} → ${to.trim()}`;
    console.log(`${status === 0 ? "SURVIVED" : status === null ? "hangs   " : "noticed "}  ${name}`);
    if (status === 0) survivors.push(name);
  }
} finally {
  await rm(directory, { recursive: true, force: true });
}
console.log(`\n${tried - survivors.length} of ${tried} changes were noticed`);
if (survivors.length > 0) process.exitCode = 1;
