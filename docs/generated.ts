// Generated blocks: the text in a Markdown file between `<!-- generated: NAME -->` and `<!-- /generated -->`. They are
// committed, so that GitHub shows them; `npm run fix` renews them, and `npm run check` fails if one is stale.
// blocks.ts has them all.

export interface Block {
  /** What is committed. */
  markdown: string;
  /** What the site's page shows instead, if it can show more than Markdown does: in the text, and beside it. */
  html?: string;
  code?: string;
}

const GENERATED = /^<!-- generated: ([\w-]+) -->\n.*?^<!-- \/generated -->$/gms;
const MARKER = /^<!-- \/?generated\b.*-->$/gm;

/** Puts another text in the place of each block, markers included. Throws if a marker has no partner. */
export function replaceBlocks(source: string, replace: (name: string, old: string) => string): string {
  const rest = source.replaceAll(GENERATED, (old, name: string) => {
    if ((old.match(MARKER) ?? []).length !== 2) throw new Error(`the block ${name} lacks its end`);
    return "";
  });
  const [stray] = rest.match(MARKER) ?? [];
  if (stray !== undefined) throw new Error(`${stray} has no partner`);
  return source.replaceAll(GENERATED, (old, name: string) => replace(name, old));
}

export function findBlock(blocks: Map<string, Block>, name: string): Block {
  const block = blocks.get(name);
  if (block === undefined) throw new Error(`no block is named ${name}`);
  return block;
}

/** A Markdown table. */
export function formatTable(head: string[], rows: readonly string[][]): string {
  const lines = [head, head.map(() => "---"), ...rows];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
