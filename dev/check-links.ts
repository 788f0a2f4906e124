// `npm run check:links`: whether the links in the repository's Markdown and in the built documents lead somewhere, with their
// anchors. Guarantees exit code 1 and one line for each dead link. Leaves addresses of other hosts alone.
import { existsSync, statSync } from "node:fs";
import { readFile, readdir } from "node:fs/promises";
import { dirname, extname, join, relative } from "node:path";
import { Marked, type Token, type Tokens } from "marked";
import { slugify } from "../docs/pages.ts";

const ROOT = join(import.meta.dirname, "..");
const DOCUMENTS = join(ROOT, "dist/documents");
const WORKER_PATHS = ["/health", "/ready", "/.well-known/oauth-protected-resource"];
/** What is no document of ours. */
const IS_ELSEWHERE = /^([a-z][a-z\d+.-]*:|\/\/)/i;

const marked = new Marked();

/** The files with links: Markdown at the top and in docs/, and all that was built. */
async function listFiles(): Promise<string[]> {
  const list = async (folder: string, recursive: boolean) =>
    (await readdir(folder, { recursive })).map((name) => join(folder, name));
  const files = [
    ...(await list(ROOT, false)),
    ...(await list(join(ROOT, "docs"), false)),
    ...(await list(DOCUMENTS, true)),
  ];
  return files.filter((file) => /\.(md|html)$|llms\.txt$|openapi\.json$/.test(file));
}

async function findLinks(file: string): Promise<string[]> {
  const text = await readFile(file, "utf8");
  const links: string[] = [];
  if (extname(file) === ".html") {
    for (const [, target = ""] of text.matchAll(/<[^>]+\s(?:href|src)="([^"]*)"/g)) links.push(target);
  } else if (extname(file) === ".json") {
    for (const [, target = ""] of text.matchAll(/\]\(([^)\s]+)\)/g)) links.push(target);
  } else {
    marked.walkTokens(marked.lexer(text), (token: Token) => {
      if (token.type === "link" || token.type === "image") links.push(String(token["href"]));
    });
  }
  return links.filter((link) => !IS_ELSEWHERE.test(link));
}

/** The file that a link leads to: in the repository, or among the documents as they are served. */
function resolve(from: string, path: string): string | undefined {
  if (path === "") return from;
  const isBuilt = from.startsWith(DOCUMENTS);
  const served = join(DOCUMENTS, path === "/" ? "docs" : path);
  const candidates = [served, `${served}.html`];
  if (!path.startsWith("/")) candidates.splice(0, 2, join(dirname(from), path));
  else if (!isBuilt) candidates.unshift(join(ROOT, path));
  const found = candidates.filter((file) => existsSync(file));
  // A folder can be looked at in the repository, and is nothing where documents are served.
  return found.find((file) => statSync(file).isFile()) ?? (isBuilt ? undefined : found[0]);
}

async function hasAnchor(file: string, anchor: string): Promise<boolean> {
  const text = await readFile(file, "utf8");
  if (extname(file) === ".html") return text.includes(` id="${anchor}"`);
  const isHeading = (token: Token): token is Tokens.Heading => token.type === "heading";
  return marked.lexer(text).some((token) => isHeading(token) && slugify(token.text) === anchor);
}

async function isAlive(from: string, link: string): Promise<boolean> {
  const [path = "", anchor] = link.split("#");
  if (WORKER_PATHS.includes(path)) return true;
  const file = resolve(from, path);
  if (file === undefined) return false;
  return anchor === undefined || (statSync(file).isFile() && hasAnchor(file, anchor));
}

let count = 0;
for (const file of await listFiles()) {
  for (const link of await findLinks(file)) {
    count += 1;
    if (await isAlive(file, link)) continue;
    console.error(`${relative(ROOT, file)}: ${link} leads nowhere`);
    process.exitCode = 1;
  }
}
console.log(`${count} links`);
