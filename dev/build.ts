// `npm run build`: the bundle that a deployment uploads, what its bytes are, and whether it is within the budget.
// Guarantees exit code 1 over budget. Uploads nothing; leaves the bundle in dist/worker.
import { readFile, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { runWrangler } from "./wrangler.ts";

/** 80 KB. The platform takes megabytes, but each cold isolate parses what is here before its first answer. */
export const budgetBytes = 81_920;

export interface BundleReport {
  minifiedBytes: number;
  /** Of all modules together, at gzip's best level: what an upload of them weighs. */
  gzipBytes: number;
  /** Minified bytes by package, the largest first; our own sources are `src`. */
  shares: { name: string; bytes: number }[];
}

interface Metafile {
  outputs: Record<string, { inputs: Record<string, { bytesInOutput: number }> }>;
}

const outputDirectory = fileURLToPath(new URL("../dist/worker", import.meta.url));

/**
 * Bundles the Worker as wrangler would for a deployment.
 * @throws Error with wrangler's output when it fails
 */
export async function buildBundle(directory = outputDirectory): Promise<BundleReport> {
  await rm(directory, { recursive: true, force: true });
  const metafile = join(directory, "metafile.json");
  const { exitCode, output } = await runWrangler(
    // An empty environment is the top level of wrangler.toml: all environments share one bundle.
    ["deploy", "--env=", "--dry-run", `--outdir=${directory}`, `--metafile=${metafile}`],
    { capture: true },
  );
  if (exitCode !== 0) throw new Error(`wrangler could not bundle the Worker:\n${output}`);
  const names = (await readdir(directory)).filter((name) => /\.(m?js|wasm|bin|txt|html)$/.test(name));
  const modules = await Promise.all(names.map((name) => readFile(join(directory, name))));
  const bundle = Buffer.concat(modules);
  return {
    minifiedBytes: bundle.byteLength,
    gzipBytes: gzipSync(bundle, { level: 9 }).byteLength,
    shares: readShares(JSON.parse(await readFile(metafile, "utf8"))),
  };
}

function readShares({ outputs }: Metafile): BundleReport["shares"] {
  const bytesByName = new Map<string, number>();
  for (const { inputs } of Object.values(outputs)) {
    for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
      const name = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? path.split("/")[0] ?? path;
      bytesByName.set(name, (bytesByName.get(name) ?? 0) + bytesInOutput);
    }
  }
  return [...bytesByName].map(([name, bytes]) => ({ name, bytes })).toSorted((one, other) => other.bytes - one.bytes);
}

/** The report in words, the verdict last. */
export function describeBundle({ minifiedBytes, gzipBytes, shares }: BundleReport, budget: number): string {
  const lines = shares.map(({ name, bytes }) => {
    const percent = ((100 * bytes) / minifiedBytes).toFixed(1);
    return `${formatBytes(bytes).padStart(10)}  ${percent.padStart(5)} %  ${name}`;
  });
  const left = budget - gzipBytes;
  const verdict = left >= 0 ? `${formatBytes(left)} left` : `${formatBytes(-left)} too many`;
  return [
    "Minified bytes by package:",
    ...lines,
    `${formatBytes(minifiedBytes).padStart(10)}  minified`,
    `${formatBytes(gzipBytes).padStart(10)}  gzip, of ${formatBytes(budget)}: ${verdict}`,
  ].join("\n");
}

function formatBytes(bytes: number): string {
  return `${bytes.toLocaleString("en")} B`;
}

/** Builds, reports, and says whether the bundle may be deployed. */
export async function checkBudget(budget = budgetBytes): Promise<boolean> {
  const report = await buildBundle();
  console.log(describeBundle(report, budget));
  if (report.gzipBytes <= budget) return true;
  console.error("\nThe bundle is over budget (budgetBytes in dev/build.ts). The list above shows what grew.");
  return false;
}

if (import.meta.main) process.exitCode = (await checkBudget()) ? 0 : 1;
