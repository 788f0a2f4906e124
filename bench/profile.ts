// Where the time of a request goes: V8's CPU profile of one case, through workerd's inspector, with readable names.
// Shows JavaScript by function; what workerd itself does (HTTP, sockets, event loop) is V8's "(program)".

import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bundle, projectDirectory } from "./bundle.ts";
import { connectInspector, findFreePort } from "./inspector.ts";
import { takeSample } from "./measure.ts";
import { probeCase, requestCases } from "./requests.ts";
import { setStage } from "./stage.ts";
import type { Workerd } from "./workerd.ts";

type ProfileNode = {
  id: number;
  callFrame: { functionName: string; url: string; lineNumber: number; columnNumber: number };
  hitCount?: number;
  children?: number[];
};

type CpuProfile = {
  nodes: ProfileNode[];
  startTime: number;
  endTime: number;
  samples: number[];
  timeDeltas: number[];
};

const samplingMicroseconds = 100;

/** Which source a line of the bundle comes from, by the comments that esbuild leaves in a bundle that is not minified. */
function readSources(bundleText: string): (line: number) => string {
  const marks: { line: number; source: string }[] = [];
  for (const [line, text] of bundleText.split("\n").entries()) {
    const source = /^\s*\/\/ ((?:\.\.\/)*[\w@.-]+\/[\w@./-]+\.(?:m?[jt]s))$/.exec(text)?.[1];
    if (source === undefined) continue;
    // The comparison Workers are bundled from a temporary folder.
    const path = source.replace(/^(\.\.\/)+/, "/").replace(projectDirectory, "");
    marks.push({ line, source: path });
  }
  return (line) => marks.findLast((mark) => mark.line <= line)?.source ?? "";
}

type Line = { name: string; source: string; self: number; total: number };

function summarize(profile: CpuProfile, sourceOf: (line: number) => string): Line[] {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const parents = new Map<number, number>();
  for (const node of profile.nodes) {
    for (const child of node.children ?? []) parents.set(child, node.id);
  }
  const labelOf = ({ id, callFrame }: ProfileNode): { name: string; source: string } => {
    const { functionName, url, lineNumber } = callFrame;
    const name = functionName || "(anonymous)";
    if (url.startsWith("node")) return { name, source: url };
    if (url !== "") return { name, source: `${sourceOf(lineNumber)} (bundle ${lineNumber + 1})` };
    if (name.startsWith("(") && functionName !== "") return { name, source: "" };
    // Native: without a source, who called it tells the most.
    const caller = nodes.get(parents.get(id) ?? 0)?.callFrame.functionName ?? "";
    return { name, source: `native, called by ${caller || "(anonymous)"}` };
  };
  const lines = new Map<string, Line>();
  for (const [index, id] of profile.samples.entries()) {
    const microseconds = profile.timeDeltas[index] ?? 0;
    const seen = new Set<string>();
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const node = nodes.get(at);
      if (node === undefined) break;
      const { name, source } = labelOf(node);
      const key = `${name} ${source}`;
      const line = lines.get(key) ?? { name, source, self: 0, total: 0 };
      lines.set(key, line);
      if (at === id) line.self += microseconds;
      // A function that calls itself counts once.
      if (!seen.has(key)) line.total += microseconds;
      seen.add(key);
    }
  }
  return [...lines.values()];
}

function printLines(title: string, lines: Line[], microsecondsPerRequest: number, all: number): void {
  console.log(`\n${title}\n  self µs  self %  with callees µs  function`);
  for (const { name, source, self, total } of lines) {
    const perRequest = (value: number) => ((value / all) * microsecondsPerRequest).toFixed(1);
    console.log(
      [
        perRequest(self).padStart(9),
        `${((self / all) * 100).toFixed(1)}`.padStart(7),
        perRequest(total).padStart(16),
        ` ${name}  ${source}`,
      ].join(" "),
    );
  }
}

/**
 * Profiles a case of the main table and prints the functions with the most time of their own and with their callees.
 * Leaves the whole profile in the temporary folder, for DevTools.
 *
 * @param caseName such as `kept`, or `unfinished@tutorial` for the same request to another Worker
 */
export async function profileCase(
  caseName: string,
  options: { workerPath: string | undefined; seconds: number },
): Promise<void> {
  const [name = "", of = "worker"] = caseName.split("@");
  const requestCase = requestCases.find((each) => each.name === name);
  if (requestCase === undefined) {
    throw new Error(`no case ${name}: one of ${requestCases.map((each) => each.name).join(", ")}`);
  }
  if (of !== "worker" && of !== "tutorial" && of !== "memory" && of !== "forward") {
    throw new Error(`no Worker ${of}: worker, tutorial, memory or forward`);
  }
  const stage = await setStage({ workerPath: options.workerPath, minify: false });
  const address = `127.0.0.1:${await findFreePort()}`;
  const worker: Workerd = await stage.start(of, { inspectorAddress: address });
  try {
    const product = of === "memory" ? await stage.start("worker") : worker;
    const { expectedStatus, ...probeOfProduct } = await probeCase(stage, product, requestCase);
    // Only the product answers conditional requests.
    const probe = { ...probeOfProduct, worker, expectedStatus: of === "worker" ? expectedStatus : 200 };
    const bundle: Bundle = stage.bundles[of];
    const sourceOf = readSources(await readFile(join(bundle.directory, bundle.modules[0] ?? ""), "utf8"));
    const { cpuMicroseconds } = await takeSample(stage.load, probe, 2_000);
    const amount = Math.ceil((options.seconds * 1e6) / cpuMicroseconds);
    const inspector = await connectInspector(address);
    await inspector.send("Profiler.enable");
    await inspector.send("Profiler.setSamplingInterval", { interval: samplingMicroseconds });
    await inspector.send("Profiler.start");
    const sample = await takeSample(stage.load, probe, amount);
    const { profile } = (await inspector.send("Profiler.stop")) as { profile: CpuProfile };
    inspector.close();

    const lines = summarize(profile, sourceOf);
    const busy = lines.filter((line) => line.name !== "(idle)").reduce((sum, line) => sum + line.self, 0);
    const perRequest = busy / amount;
    console.log(
      `${caseName}: ${amount} requests, ${sample.cpuMicroseconds.toFixed(0)} µs of CPU each while profiled ` +
        `(${cpuMicroseconds.toFixed(0)} before), ${perRequest.toFixed(0)} µs in the profile, where (program) is native code and waiting`,
    );
    const visible = lines.filter((line) => line.name !== "(idle)" && line.name !== "(root)");
    printLines("by own time", visible.toSorted((a, b) => b.self - a.self).slice(0, 40), perRequest, busy);
    printLines("by time with callees", visible.toSorted((a, b) => b.total - a.total).slice(0, 30), perRequest, busy);
    const path = join(tmpdir(), `${name}-${of}.cpuprofile`);
    await writeFile(path, JSON.stringify(profile));
    console.log("\nconsole.log costs many times more under the inspector than without: leave it out of account");
    console.log(`the whole profile, for DevTools: ${path}`);
  } finally {
    await worker.end();
    await stage.close();
  }
}
