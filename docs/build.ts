// Writes the published documents to dist/documents/, which the Worker serves as static files. wrangler runs it ([build] in
// wrangler.toml), and so do the tests.
// A file that stays the same is not touched, and one that changes is replaced at once: somebody may be serving them.
import { mkdir, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { createOpenApi } from "./openapi.ts";

const root = join(import.meta.dirname, "..");
const target = join(root, "dist/documents");
const swaggerUi = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));

const COPIES = [
  ...["page/index.html", "page/page.css", "page/page.js"].map((file) => join(root, "docs", file)),
  ...["get-run.md", "authentication.md", "polling.md", "errors.md"].map((file) => join(root, "docs", file)),
  ...["swagger-ui.css", "swagger-ui-bundle.js", "oauth2-redirect.html", "oauth2-redirect.js"].map((file) =>
    join(swaggerUi, file),
  ),
];

async function createDocuments(): Promise<Map<string, Buffer>> {
  const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { version: string };
  const openApi = JSON.stringify(await createOpenApi(version));
  const copies = COPIES.map(async (path) => [`docs/${basename(path)}`, await readFile(path)] as const);
  return new Map([
    ["openapi.json", Buffer.from(openApi)],
    ["llms.txt", await readFile(join(root, "docs/llms.txt"))],
    ...(await Promise.all(copies)),
  ]);
}

async function replace(path: string, content: Buffer): Promise<void> {
  const old = await readFile(path).catch(() => undefined);
  if (old?.equals(content)) return;
  const draft = `${path}.${process.pid}`;
  await writeFile(draft, content);
  await rename(draft, path);
}

const documents = await createDocuments();
await mkdir(join(target, "docs"), { recursive: true });
await Promise.all([...documents].map(([name, content]) => replace(join(target, name), content)));
for (const entry of await readdir(target, { recursive: true, withFileTypes: true })) {
  const name = join(entry.parentPath, entry.name);
  if (entry.isFile() && !documents.has(name.slice(target.length + 1))) await rm(name, { force: true });
}
