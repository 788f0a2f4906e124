// Turns a guide's Markdown into a page: headings with links, highlighted code, fences in a row as tabs that work without
// JavaScript, and generated blocks as they show more than Markdown can.
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import { Marked, type Tokens } from "marked";
import { type Block, findBlock, replaceBlocks } from "./generated.ts";

for (const [name, language] of Object.entries({ js: javascript, ts: javascript, json, python, sh: bash })) {
  hljs.registerLanguage(name, language);
}

/** The navigation, in its order: file names without their ending, and titles. The first is the reference. */
export const PAGES: Record<string, string> = {
  "get-run": "Reference",
  authentication: "Authentication",
  polling: "Polling",
  webhooks: "Webhooks",
  errors: "Errors",
  changes: "Changes",
};

/** Stands for a block while the Markdown around it is parsed. */
const PLACEHOLDER = /^<!-- block: ([\w-]+) -->$/m;
export const REFERENCE = "get-run";

export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

export function addressOf(page: string): string {
  return page === REFERENCE ? "/docs" : `/docs/${page}`;
}

/** The id of a heading, as GitHub makes it: links work there and here. */
export function slugify(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(/\s/g, "-");
}

export function highlight(code: string, language = ""): string {
  const html = hljs.getLanguage(language) ? hljs.highlight(code, { language }).value : escapeHtml(code);
  return `<pre><code tabindex="0">${html}</code></pre>`;
}

const marked = new Marked({
  renderer: {
    heading({ tokens, depth }) {
      const html = this.parser.parseInline(tokens);
      if (depth === 1) return `<h1>${html}</h1>`;
      const id = slugify(this.parser.parseInline(tokens, this.parser.textRenderer));
      return `<h${depth} id="${id}"><a href="#${id}">${html}</a></h${depth}>`;
    },
    code: ({ text, lang = "" }) => highlight(text, lang.split(" ")[0]),
    table(token) {
      const row = (cells: Tokens.TableCell[], tag: string) =>
        `<tr>${cells.map(({ tokens }) => `<${tag}>${this.parser.parseInline(tokens)}</${tag}>`).join("")}</tr>`;
      const [head, body] = [row(token.header, "th"), token.rows.map((cells) => row(cells, "td")).join("")];
      return `<div class="table" tabindex="0"><table><thead>${head}</thead><tbody>${body}</tbody></table></div>`;
    },
    link({ href, tokens }) {
      const target = href.replace(/^([\w-]+)\.md/, (_, page: string) => addressOf(page));
      return `<a href="${escapeHtml(target)}">${this.parser.parseInline(tokens)}</a>`;
    },
  },
});

export function renderMarkdown(text: string): string {
  return String(marked.parse(text));
}

/** Inline Markdown, as descriptions have it. */
export function renderInline(text: string): string {
  return String(marked.parseInline(text));
}

/** The Markdown that is published: without the markers. */
export function stripMarkers(source: string): string {
  const text = replaceBlocks(source, (_, old) => old.split("\n").slice(1, -1).join("\n"));
  return text.replaceAll(/\n{3,}/g, "\n\n");
}

let groups = 0;

/** Code side by side, one in view: a row of radio buttons and CSS. */
export function renderTabs(title: string, tabs: readonly { label: string; html: string }[]): string {
  const name = `tabs-${++groups}`;
  const content = tabs.map(({ label, html }, index) => {
    const input = `<input type="radio" name="${name}"${index === 0 ? " checked" : ""} />`;
    return `<label>${input}${escapeHtml(label)}</label>${html}`;
  });
  return `<div class="panel tabs" role="radiogroup" aria-label="${escapeHtml(title)}">${content.join("")}</div>`;
}

/** Fences in a row become tabs where they have labels (`sh curl`). */
function renderFences(fences: readonly Tokens.Code[]): string {
  const tabs = fences.map(({ text, lang = "" }) => {
    const [language = "", ...label] = lang.split(" ");
    return { label: label.join(" "), html: highlight(text, language) };
  });
  if (tabs.every(({ label }) => label !== "")) return renderTabs("Sample", tabs);
  return `<div class="panel">${tabs.map(({ html }) => html).join("")}</div>`;
}

interface Part {
  kind: "prose" | "code" | "rule";
  html: string;
}

/** The page in parts, prose and code by turns. */
function renderParts(source: string, blocks: Map<string, Block>): Part[] {
  const parts: Part[] = [];
  let fences: Tokens.Code[] = [];
  const endFences = () => {
    if (fences.length > 0) parts.push({ kind: "code", html: renderFences(fences) });
    fences = [];
  };
  const filled = replaceBlocks(source, (name) => {
    const { markdown, html, code } = findBlock(blocks, name);
    return html === undefined && code === undefined ? markdown : `<!-- block: ${name} -->`;
  });
  for (const token of marked.lexer(filled)) {
    if (token.type === "space") continue;
    if (token.type === "code") {
      fences.push(token as Tokens.Code);
      continue;
    }
    endFences();
    const [, name] = PLACEHOLDER.exec(token.raw) ?? [];
    const { html, code } = name === undefined ? { html: marked.parser([token]) } : findBlock(blocks, name);
    if (html !== undefined) parts.push({ kind: token.type === "hr" ? "rule" : "prose", html });
    if (code !== undefined) parts.push({ kind: "code", html: code });
  }
  endFences();
  return parts;
}

/** The reference, in sections between rules. Each has its code on the right; on a phone, after the prose that precedes it. */
function renderReference(parts: readonly Part[]): string {
  const sections = [{ before: "", code: "", after: "" }];
  for (const { kind, html } of parts) {
    const section = sections.at(-1);
    if (kind === "rule" || section === undefined) sections.push({ before: "", code: "", after: "" });
    else if (kind === "code") section.code += html;
    else section[section.code === "" ? "before" : "after"] += html;
  }
  const html = sections.map(
    ({ before, code, after }) =>
      `<section><div>${before}</div><div class="code">${code}</div>${after && `<div>${after}</div>`}</section>`,
  );
  return html.join("\n");
}

/** A whole HTML page for the guide of that name. `assets` are the addresses of the style and the script. */
export function renderPage(
  name: string,
  source: string,
  blocks: Map<string, Block>,
  assets: { style: string; script: string },
): string {
  const title = /^# (.*)$/m.exec(source)?.[1] ?? name;
  const links = Object.entries(PAGES).map(([page, text]) => {
    const current = page === name ? ` aria-current="page"` : "";
    return `<a href="${addressOf(page)}"${current}>${text}</a>`;
  });
  const parts = renderParts(source, blocks);
  const isReference = name === REFERENCE;
  const content = isReference ? renderReference(parts) : parts.map(({ html }) => html).join("\n");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)} · Crew runs</title>
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' rx='4' fill='%230d7d6c'/%3E%3Cpath d='M6 4.5v7l5.5-3.5z' fill='%23fff'/%3E%3C/svg%3E">
<link rel="alternate" type="text/markdown" href="/docs/${name}.md">
<link rel="stylesheet" href="${assets.style}">
<script type="module" src="${assets.script}"></script>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header>
<a class="brand" href="/docs">Crew runs</a>
<nav aria-label="Pages">${links.join("")}</nav>
<a class="button" href="/docs#try-it">Try it</a>
</header>
<main id="content"${isReference ? "" : ` class="guide"`}>${content}</main>
<footer>For programs: <a href="/docs/${name}.md">this page as Markdown</a>, <a href="/llms.txt">llms.txt</a>, <a href="/openapi.json">OpenAPI 3.1</a></footer>
</body>
</html>
`;
}
