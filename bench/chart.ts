// The ratios against their targets as an SVG that reads in light and dark. Draws what it is given.

import type { Results } from "./report.ts";
import { targets, toKilobytes } from "./report.ts";

type Bar = { title: string; unit: string; target: number; value: number; tutorial: number };

const width = 760;
const left = 210;
const right = 60;
const rowHeight = 58;
const top = 56;

function listBars(results: Results): Bar[] {
  const bars: Bar[] = results.requests.map(({ requestCase, ratio, tutorialRatio }) => ({
    title: requestCase.title,
    unit: "×",
    target: requestCase.target,
    value: ratio.median,
    tutorial: tutorialRatio.median,
  }));
  if (results.bundle) {
    bars.push({
      title: "bundle, gzip",
      unit: " KB",
      target: targets.bundleKilobytes.target,
      value: toKilobytes(results.bundle.workerBytes),
      tutorial: toKilobytes(results.bundle.tutorialBytes),
    });
  }
  if (results.startUp) {
    bars.push({
      title: "CPU at start",
      unit: " ms",
      target: targets.startUp.target * results.startUp.tutorialMilliseconds,
      value: results.startUp.workerMilliseconds,
      tutorial: results.startUp.tutorialMilliseconds,
    });
  }
  return bars;
}

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

const format = (value: number, unit: string): string => `${value.toFixed(unit === "×" ? 2 : 0)}${unit}`;

/** Every row has its own scale: the tutorial, or what is longer, fills it. */
function drawBar(bar: Bar, index: number): string {
  const { title, unit, target, value, tutorial } = bar;
  const y = top + index * rowHeight;
  const scale = (width - left - right) / Math.max(tutorial, value, target);
  const lengthOf = (amount: number): string => (amount * scale).toFixed(1);
  const at = (amount: number): string => (left + amount * scale).toFixed(1);
  return `  <g>
    <title>${escape(`${title}: ${format(value, unit)}, target ${format(target, unit)}, tutorial ${format(tutorial, unit)}`)}</title>
    <text class="label" x="${left - 12}" y="${y + 22}" text-anchor="end">${escape(title)}</text>
    <rect class="${value <= target ? "met" : "missed"}" x="${left}" y="${y}" width="${lengthOf(value)}" height="18" rx="3"/>
    <text class="value" x="${Number(at(Math.max(value, target))) + 8}" y="${y + 14}">${format(value, unit)}</text>
    <rect class="tutorial" x="${left}" y="${y + 21}" width="${lengthOf(tutorial)}" height="12" rx="3"/>
    <text class="small" x="${Number(at(tutorial)) + 8}" y="${y + 31}">${format(tutorial, unit)}</text>
    <line class="target" x1="${at(target)}" x2="${at(target)}" y1="${y - 5}" y2="${y + 23}"/>
  </g>`;
}

/** One row a target: this Worker's bar over the tutorial's, and a line at the target. */
export function drawChart(results: Results): string {
  const bars = listBars(results);
  const height = top + bars.length * rowHeight + 16;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="Cost of this Worker against its targets and a tutorial Worker">
  <style>
    text { font: 13px system-ui, sans-serif; fill: #1f2328; }
    .value { font-weight: 600; }
    .small { font-size: 11px; fill: #59636e; }
    .met { fill: #1a7f37; }
    .missed { fill: #bc4c00; }
    .tutorial { fill: #c8d1da; }
    .target { stroke: #1f2328; stroke-width: 2; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .small { fill: #9198a1; }
      .met { fill: #3fb950; }
      .missed { fill: #f0883e; }
      .tutorial { fill: #3d444d; }
      .target { stroke: #e6edf3; }
    }
  </style>
  <rect class="met" x="${left}" y="16" width="18" height="10" rx="2"/>
  <text class="small" x="${left + 24}" y="25">this Worker (orange: over its target)</text>
  <rect class="tutorial" x="${left + 230}" y="16" width="18" height="10" rx="2"/>
  <text class="small" x="${left + 254}" y="25">tutorial Worker</text>
  <line class="target" x1="${left + 362}" x2="${left + 362}" y1="12" y2="30"/>
  <text class="small" x="${left + 370}" y="25">target</text>
${bars.map(drawBar).join("\n")}
</svg>
`;
}
