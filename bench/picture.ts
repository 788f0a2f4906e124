// The picture of the results, as SVG: pairs of bars, this Worker above the minimal one, and a mark where the target is. Follows the
// reader's color scheme. Pure.
import type { Row } from "./report.ts";

const WIDTH = 840;
const MARGIN = 24;
const BARS_LEFT = 300;
/** Leaves room for a value after the longest bar. */
const BARS_WIDTH = 440;
const BAR_HEIGHT = 12;
const ROW_HEIGHT = 36;
const PANEL_HEAD = 44;
const HEAD = 78;

const PANELS: { name: Row["panel"]; title: string; format: (value: number) => string }[] = [
  { name: "trips", title: "Round trips that a reader waits for", format: (trips) => String(trips) },
  { name: "warm", title: "CPU time of a read in a warm isolate", format: (value) => `${value.toFixed(0)} µs` },
  {
    name: "slow",
    title: "CPU time of a large read, and of a new isolate",
    format: (value) => `${value.toFixed(1)} ms`,
  },
];

const TITLE = "What a reader waits for, and what it costs";
const OWN = "crew-run-reader";
const MINIMAL = "a minimal Worker with the same libraries";

const STYLE = `
  .ground { fill: #ffffff; stroke: #d1d9e0 } text { fill: #1f2328; font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
  .title { font-size: 18px; font-weight: 600 } .panel { font-size: 14px; font-weight: 600 } .value { font-size: 12px }
  .own { fill: #0969da } .minimal { fill: #9aa4af } .target { fill: none; stroke: #bc4c00; stroke-width: 2.5 } .halo { fill: none; stroke: #ffffff; stroke-width: 5.5 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #3d444d } text { fill: #f0f6fc }
    .own { fill: #4493f8 } .minimal { fill: #656c76 } .target { stroke: #f0883e } .halo { stroke: #0d1117 }
  }`;

export function drawPicture(rows: readonly Row[]): string {
  const parts: string[] = [drawLegend()];
  const spoken: string[] = [];
  let top = HEAD;
  for (const { name, title, format } of PANELS) {
    const shown = rows.filter(({ panel }) => panel === name);
    const longest = Math.max(...shown.flatMap(({ own, minimal, target = 0 }) => [own, minimal, target]));
    parts.push(`<text class="panel" x="${MARGIN}" y="${top + 26}">${escape(title)}</text>`);
    spoken.push(`${title}:`);
    top += PANEL_HEAD;
    for (const row of shown) {
      parts.push(...drawRow(row, top, BARS_WIDTH / longest, format));
      spoken.push(speak(row, format));
      top += ROW_HEIGHT;
    }
  }
  const height = top + MARGIN / 2;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="title desc">
<title id="title">${escape(TITLE)}</title>
<desc id="desc">${escape(`${OWN} next to ${MINIMAL}. ${spoken.join(" ")}`)}</desc>
<style>${STYLE}
</style>
<rect class="ground" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="8"/>
${parts.join("\n")}
</svg>
`;
}

function drawLegend(): string {
  const y = 66;
  return `<text class="title" x="${MARGIN}" y="38">${escape(TITLE)}</text>
<rect class="own" x="${MARGIN}" y="${y - 10}" width="12" height="12"/><text x="${MARGIN + 18}" y="${y}">${OWN}</text>
<rect class="minimal" x="160" y="${y - 10}" width="12" height="12"/><text x="178" y="${y}">${MINIMAL}</text>
<path class="target" d="M490 ${y - 12}v16"/><text x="500" y="${y}">target: at most this</text>`;
}

/** `scale` is in pixels per unit. */
function drawRow({ label, own, minimal, target }: Row, top: number, scale: number, format: (value: number) => string) {
  const shapes = [`<text x="${MARGIN}" y="${top + BAR_HEIGHT + 4}">${escape(label)}</text>`];
  const targetX = target === undefined ? Number.NaN : BARS_LEFT + target * scale;
  for (const [kind, value, y] of [
    ["own", own, top],
    ["minimal", minimal, top + BAR_HEIGHT + 2],
  ] as const) {
    // A bar of nothing would look like a missing figure.
    const end = BARS_LEFT + Math.max(2, value * scale);
    // The value stands clear of the target's mark.
    const isNearMark = kind === "own" && targetX > end - 4 && targetX < end + 56;
    const textX = (isNearMark ? targetX : end) + 7;
    shapes.push(
      `<rect class="${kind}" x="${BARS_LEFT}" y="${y}" width="${round(end - BARS_LEFT)}" height="${BAR_HEIGHT}"/>`,
      `<text class="value" x="${round(textX)}" y="${y + 10}">${escape(format(value))}</text>`,
    );
  }
  if (target !== undefined) {
    const path = `d="M${round(targetX)} ${top - 3}v${BAR_HEIGHT + 5}"`;
    shapes.push(`<path class="halo" ${path}/><path class="target" ${path}/>`);
  }
  return shapes;
}

function speak({ label, own, minimal, target }: Row, format: (value: number) => string): string {
  const aim = target === undefined ? "" : `, target at most ${format(target)}`;
  return `${label}: ${format(own)} and ${format(minimal)}${aim}.`;
}

const round = (pixels: number) => Math.round(pixels * 10) / 10;

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
