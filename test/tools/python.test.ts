// Runs the tests of examples/python, which are Python's own: test/tools/python/.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";

/** Debian's, because its packages are Debian's, too. */
const python = (...words: string[]) =>
  promisify(execFile)("/usr/bin/python3", words, { cwd: `${import.meta.dirname}/../..` }).then(
    ({ stderr }) => ({ isWell: true, stderr }),
    ({ stderr }: { stderr: string }) => ({ isWell: false, stderr }),
  );

/** For all of them together, on a busy machine. */
const TIMEOUT_MS = 180_000;

const { isWell: hasPsycopg } = await python("-c", "import psycopg");

test.skipIf(!hasPsycopg && !process.env["CI"])(
  "examples/python, which needs psycopg and PostgreSQL",
  async () => {
    const { isWell, stderr } = await python("-m", "unittest", "discover", "-s", "test/tools/python");
    expect(isWell, stderr).toBe(true);
  },
  TIMEOUT_MS,
);
