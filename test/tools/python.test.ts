// Runs the tests of examples/python, which are Python's own: test/tools/python/.
import { execFile, spawnSync } from "node:child_process";
import { promisify } from "node:util";
import { test } from "vitest";

/** Debian's, because its packages are Debian's, too. */
const PYTHON = "/usr/bin/python3";
const FOLDER = `${import.meta.dirname}/python`;
/** For all of them together, on a busy machine. */
const TIMEOUT_MS = 180_000;

const isInstalled = spawnSync(PYTHON, ["-c", "import postgres_server"], { cwd: FOLDER }).status === 0;

test.skipIf(!isInstalled && !process.env["CI"])(
  "examples/python, which needs psycopg and PostgreSQL",
  // The error contains what failed.
  () => promisify(execFile)(PYTHON, ["-m", "unittest", "discover"], { cwd: FOLDER }),
  TIMEOUT_MS,
);
