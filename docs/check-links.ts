// `npx node docs/check-links.ts`, after `npm run build:site`: whether the links in the repository's Markdown and in the built documents lead somewhere, with their
// anchors. Guarantees exit code 1 and one line for each dead link. Leaves addresses of other hosts alone.
import { existsSync, globSync, readFileSync, statSync } from "node:fs";
import { dirname, extname, join } from "node:path";
import { Marked, type Token } from "marked";
import { slugify } from "./markdown.ts";

const ROOT = join(import.meta.dirname, "..");
const DOCUMENTS = join(ROOT, "dist/documents");
const FILES = ["*.md", "docs/*.md", "dist/documents/**/*.{md,html,txt,json}"];
const WORKER_PATHS = ["/health", "/ready", "/.well-known/oauth-protected-resource"];
/** An address of another host. */
const ELSEWHERE = /^([a-z][a-z\d+.-]*:|\/\/)/i;

const marked = new Marked();

function findLinks(file: string): string[] {
  const text = readFileSync(file, "utf8");
  const find = (pattern: RegExp) => [...text.matchAll(pattern)].map(([, target = ""]) => target);
  if (extname(file) === ".html") return find(/<[^>]+\s(?:href|src)="([^"]*)"/g);
  if (extname(file) === ".json") return find(/\]\(([^)\s]+)\)/g);
  const links: string[] = [];
  marked.walkTokens(marked.lexer(text), (token: Token) => {
    if (token.type === "link" || token.type === "image") links.push(String(token["href"]));
  });
  return links;
}

/** The file that a link leads to: in the repository, or among the documents as they are served. */
function resolve(from: string, path: string): string | undefined {
  if (path === "") return from;
  const isBuilt = from.startsWith(DOCUMENTS);
  const served = join(DOCUMENTS, path === "/" ? "docs" : path);
  const candidates = path.startsWith("/") ? [served, `${served}.html`] : [join(dirname(from), path)];
  if (path.startsWith("/") && !isBuilt) candidates.unshift(join(ROOT, path));
  const found = candidates.filter((file) => existsSync(file));
  // A folder can be looked at in the repository, and is nothing where documents are served.
  return found.find((file) => statSync(file).isFile()) ?? (isBuilt ? undefined : found[0]);
}

function hasAnchor(file: string, anchor: string): boolean {
  if (statSync(file).isDirectory()) return false;
  const text = readFileSync(file, "utf8");
  if (extname(file) === ".html") return text.includes(` id="${anchor}"`);
  if (text.includes(`<a id="${anchor}"></a>`)) return true;
  return marked.lexer(text).some((token: Token) => token.type === "heading" && slugify(token["text"]) === anchor);
}

function isAlive(from: string, link: string): boolean {
  const [path = "", anchor] = link.split("#");
  if (WORKER_PATHS.includes(path)) return true;
  const file = resolve(from, path);
  return file !== undefined && (anchor === undefined || hasAnchor(file, anchor));
}

let count = 0;
for (const file of globSync(FILES, { cwd: ROOT })) {
  for (const link of findLinks(join(ROOT, file)).filter((each) => !ELSEWHERE.test(each))) {
    count += 1;
    if (isAlive(join(ROOT, file), link)) continue;
    console.error(`${file}: ${link} leads nowhere`);
    process.exitCode = 1;
  }
}
console.log(`${count} links`);
