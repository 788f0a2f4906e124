// Writes the published documents to dist/documents/, which the platform serves as static files. wrangler runs it ([build] in
// wrangler.toml), and so do the tests.
// A file that stays the same isn't touched, and one that changes is replaced at once, because a server may be reading it.
import { mkdir, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { build } from "esbuild";
import { createBlocks } from "./blocks.ts";
import { writeChanges } from "./changes.ts";
import { createOpenApi } from "./openapi.ts";
import { PAGES, REFERENCE, publishMarkdown, renderPage } from "./pages.ts";

const ROOT = join(import.meta.dirname, "..");
const TARGET = join(ROOT, "dist/documents");

async function createDocuments(): Promise<Map<string, string>> {
  const read = async (file: string) => readFile(join(ROOT, file), "utf8");
  const { version } = JSON.parse(await read("package.json")) as { version: string };
  const documents = new Map([["openapi.json", JSON.stringify(await createOpenApi(version))]]);
  for (const name of ["llms.txt", "robots.txt", "favicon.svg", "_headers", "_redirects"])
    documents.set(name, await read(`docs/${name}`));

  const assets = await bundleAssets();
  const addresses = new Map(assets.map(({ entry, path }) => [entry, `/${path}`]));
  for (const { path, text } of assets) documents.set(path, text);
  const blocks = await createBlocks();
  const template = await read("docs/page/page.html");
  const options = { blocks, template, assets: addresses };
  documents.set("docs/404.html", renderPage("404", await read("docs/page/not-found.md"), options));
  for (const name of Object.keys(PAGES)) {
    const source = name === "changes" ? writeChanges(await read("CHANGELOG.md")) : await read(`docs/${name}.md`);
    const html = renderPage(name, source, options);
    documents.set(name === REFERENCE ? "docs.html" : `docs/${name}.html`, html);
    documents.set(`docs/${name}.md`, publishMarkdown(source));
  }
  return documents;
}

/**
 * Style and scripts, minified, under names that change with their content: they may be cached for ever. Each entry is bundled by
 * itself, because what two had in common would be one more request.
 */
async function bundleAssets(): Promise<{ entry: string; path: string; text: string }[]> {
  const bundles = ["style.css", "page.ts", "try.ts"].map(async (file) =>
    build({
      absWorkingDir: ROOT,
      entryPoints: [`docs/page/${file}`],
      entryNames: "[name]-[hash]",
      chunkNames: "[name]-[hash]",
      splitting: true,
      outdir: "docs/assets",
      bundle: true,
      minify: true,
      format: "esm",
      target: "es2022",
      legalComments: "none",
      metafile: true,
      write: false,
    }),
  );
  return (await Promise.all(bundles)).flatMap(({ metafile, outputFiles }) =>
    Object.entries(metafile.outputs).map(([path, { entryPoint = "" }], index) => ({
      entry: basename(entryPoint),
      path,
      text: outputFiles[index]?.text ?? "",
    })),
  );
}

async function replace(path: string, content: string): Promise<void> {
  const old = await readFile(path, "utf8").catch(() => undefined);
  if (old === content) return;
  const draft = `${path}.${process.pid}`;
  await mkdir(dirname(path), { recursive: true });
  await writeFile(draft, content);
  await rename(draft, path);
}

const documents = await createDocuments();
await Promise.all([...documents].map(([name, content]) => replace(join(TARGET, name), content)));
for (const entry of await readdir(TARGET, { recursive: true, withFileTypes: true })) {
  const name = join(entry.parentPath, entry.name);
  if (entry.isFile() && !documents.has(name.slice(TARGET.length + 1))) await rm(name, { force: true });
}
