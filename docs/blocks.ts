// Every generated block. To add one: name it here, put its two markers into a Markdown file, run `npm run build:documents`.
import { readFile } from "node:fs/promises";
import type { Block } from "./generated.ts";
import { createReferenceBlocks } from "./reference.ts";

export async function createBlocks(): Promise<Map<string, Block>> {
  const blocks: Record<string, Block> = {
    ...(await createReferenceBlocks()),
    changes: { markdown: await listChanges() },
  };
  return new Map(Object.entries(blocks));
}

/** The parts of the CHANGELOG that clients need: each version with its "For clients", or with all it has. */
async function listChanges(): Promise<string> {
  const changelog = await readFile(`${import.meta.dirname}/../CHANGELOG.md`, "utf8");
  const [, ...versions] = changelog.split(/^(?=## )/m);
  const parts = versions.map((version) => {
    const [heading = "", ...rest] = version.split("\n");
    const body = rest.join("\n");
    const forClients = /^### For clients\n(.*?)(?=^### |$(?![^]))/ms.exec(body)?.[1];
    return `${heading}\n\n${(forClients ?? body).trim()}`;
  });
  return parts.join("\n\n").replaceAll("](docs/", "](");
}
