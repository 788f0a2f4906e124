// `npm run build`: bundles the Worker as a deployment would, lists the bytes of each package, and checks the size.
// Warns above one limit and guarantees exit code 1 above another. Uploads nothing; leaves the bundle in dist/worker.
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { ROOT_DIRECTORY, runWrangler } from "./wrangler.ts";

/**
 * Of the compressed bundle. The platform accepts megabytes, but a cold isolate parses all of them before its first response.
 * Between the two, a driver's update still deploys, and there is time to look.
 */
const SIZE_LIMITS: SizeLimits = { warnBytes: 80 * 1_024, failBytes: 90 * 1_024 };
const OUTPUT_DIRECTORY = join(ROOT_DIRECTORY, "dist/worker");

export interface SizeLimits {
  warnBytes: number;
  failBytes: number;
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
  const shares = listShares(JSON.parse(await readFile(metafile, "utf8")) as Metafile);
  return { minifiedBytes: bundle.byteLength, gzipBytes: gzipSync(bundle, { level: 9 }).byteLength, shares };
}

/** Builds, reports on the terminal, and returns whether the bundle may be deployed. */
export async function checkSize({ warnBytes, failBytes }: SizeLimits = SIZE_LIMITS): Promise<boolean> {
  const { minifiedBytes, gzipBytes, shares } = await buildBundle();
  console.log("Minified bytes by package:");
  for (const [name, bytes] of shares) {
    const percent = ((100 * bytes) / minifiedBytes).toFixed(1);
    console.log(`${formatBytes(bytes)}  ${percent.padStart(5)} %  ${name}`);
  }
  console.log(`${formatBytes(minifiedBytes)}  minified`);
  console.log(`${formatBytes(gzipBytes)}  gzip`);
  if (gzipBytes > failBytes) {
    console.error(`\n✗ The bundle has more than ${formatBytes(failBytes).trim()} compressed. ${ADVICE}`);
    return false;
  }
  if (gzipBytes > warnBytes) {
    const limit = formatBytes(failBytes).trim();
    console.error(
      `\n! The bundle has more than ${formatBytes(warnBytes).trim()} compressed; above ${limit} it can't be deployed. ${ADVICE}`,
    );
  }
  return true;
}

interface Metafile {
  outputs: Record<string, { inputs: Record<string, { bytesInOutput: number }> }>;
}

function listShares({ outputs }: Metafile): BundleReport["shares"] {
  const bytesByName: Record<string, number> = {};
  for (const [path, { bytesInOutput }] of Object.values(outputs).flatMap(({ inputs }) => Object.entries(inputs))) {
    const name = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? path.split("/")[0] ?? path;
    bytesByName[name] = (bytesByName[name] ?? 0) + bytesInOutput;
  }
  return Object.entries(bytesByName).toSorted(([, one], [, other]) => other - one);
}

const ADVICE = "See above for the largest packages (SIZE_LIMITS in dev/build.ts).";

const formatBytes = (bytes: number) => `${bytes.toLocaleString("en")} B`.padStart(10);

if (import.meta.main) process.exitCode = (await checkSize()) ? 0 : 1;
