// `npm run build`: bundles the Worker as a deployment would, says what its bytes are, and checks its size.
// Guarantees exit code 1 over budget. Uploads nothing; leaves the bundle in dist/worker.
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { ROOT_DIRECTORY, runWrangler } from "./wrangler.ts";

/** 80 KB. The platform takes megabytes, but a cold isolate parses all of it before its first answer. */
const BUDGET_BYTES = 81_920;
const OUTPUT_DIRECTORY = join(ROOT_DIRECTORY, "dist/worker");

interface Metafile {
  outputs: Record<string, { inputs: Record<string, { bytesInOutput: number }> }>;
}

interface BundleReport {
  minifiedBytes: number;
  /** At gzip's best level. */
  gzipBytes: number;
  /** Minified bytes by package, the largest first; our own sources are `src`. */
  shares: [name: string, bytes: number][];
}

/** Bundles the Worker as a deployment would, into a folder that is emptied first. Throws with wrangler's output. */
export async function buildBundle(directory = OUTPUT_DIRECTORY): Promise<BundleReport> {
  await rm(directory, { recursive: true, force: true });
  const metafile = join(directory, "metafile.json");
  const args = ["deploy", "--dry-run", `--outdir=${directory}`, `--metafile=${metafile}`];
  const { exitCode, output } = await runWrangler(args, { capture: true });
  if (exitCode !== 0) throw new Error(`wrangler could not bundle the Worker:\n${output}`);
  const bundle = await readFile(join(directory, "index.js"));
  return {
    minifiedBytes: bundle.byteLength,
    gzipBytes: gzipSync(bundle, { level: 9 }).byteLength,
    shares: listShares(JSON.parse(await readFile(metafile, "utf8"))),
  };
}

/** Builds, reports on the terminal, and says whether the bundle may be deployed. */
export async function checkBudget(budgetBytes = BUDGET_BYTES): Promise<boolean> {
  const { minifiedBytes, gzipBytes, shares } = await buildBundle();
  console.log("Minified bytes by package:");
  for (const [name, bytes] of shares) {
    const percent = ((100 * bytes) / minifiedBytes).toFixed(1);
    console.log(`${formatBytes(bytes).padStart(10)}  ${percent.padStart(5)} %  ${name}`);
  }
  const leftBytes = budgetBytes - gzipBytes;
  const verdict = leftBytes >= 0 ? `${formatBytes(leftBytes)} left` : `${formatBytes(-leftBytes)} too many`;
  console.log(`${formatBytes(minifiedBytes).padStart(10)}  minified`);
  console.log(`${formatBytes(gzipBytes).padStart(10)}  gzip, of ${formatBytes(budgetBytes)}: ${verdict}`);
  if (leftBytes < 0) console.error("\nThe bundle is over budget (BUDGET_BYTES in dev/build.ts). See above what grew.");
  return leftBytes >= 0;
}

function listShares({ outputs }: Metafile): BundleReport["shares"] {
  const bytesByName = new Map<string, number>();
  for (const { inputs } of Object.values(outputs)) {
    for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
      const name = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? path.split("/")[0] ?? path;
      bytesByName.set(name, (bytesByName.get(name) ?? 0) + bytesInOutput);
    }
  }
  return [...bytesByName].toSorted(([, one], [, other]) => other - one);
}

function formatBytes(bytes: number): string {
  return `${bytes.toLocaleString("en")} B`;
}

if (import.meta.main) process.exitCode = (await checkBudget()) ? 0 : 1;
