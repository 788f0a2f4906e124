// Lays out the pages of the site: the rail, the content, the way to the next page. The reference has its code beside its text.
import type { Token, Tokens } from "marked";
import { type Block, findBlock, replaceBlocks } from "./generated.ts";
import { createRenderer, escapeHtml, slugify } from "./markdown.ts";

/** The navigation, in its order: file names without their ending, and titles. The first is the reference. */
export const PAGES: Record<string, string> = {
  "get-run": "Reference",
  authentication: "Authentication",
  polling: "Polling",
  webhooks: "Webhooks",
  errors: "Errors",
  changes: "Changes",
};

export const REFERENCE = "get-run";
/** The host in the samples: a page's script puts its own in its place, published Markdown has a word instead. */
const EXAMPLE_HOST = "https://api.example.com";
/** Stands for a block while the Markdown around it is parsed. */
const PLACEHOLDER = /^<!-- block: ([\w-]+) -->$/m;

interface Part {
  kind: "prose" | "code" | "rule";
  html: string;
}

export function addressOf(page: string): string {
  return page === REFERENCE ? "/docs" : `/docs/${page}`;
}

/** The text between the markers of a block. */
const dropMarkers = (block: string) => block.split("\n").slice(1, -1).join("\n");

/** The Markdown that is published: without markers, and without a host that isn't there. */
export function publishMarkdown(source: string): string {
  const text = replaceBlocks(source, (_, old) => dropMarkers(old));
  const named = text.replaceAll(EXAMPLE_HOST, "https://HOST");
  const note = named === text ? "" : "\n\n`HOST` stands for the host of this file.";
  return named.replace(/^# .*/, `$&${note}`).replaceAll(/\n{3,}/g, "\n\n");
}

/** The page in parts, prose and code by turns. */
function renderParts(source: string, blocks: Map<string, Block>): { parts: Part[]; headings: string[] } {
  const parts: Part[] = [];
  const headings: string[] = [];
  const { lex, render, renderFences } = createRenderer(addressOf);
  let fences: Tokens.Code[] = [];
  const endFences = () => {
    if (fences.length > 0) parts.push({ kind: "code", html: renderFences(fences) });
    fences = [];
  };
  const filled = replaceBlocks(source, (name, old) => {
    const { html, code } = findBlock(blocks, name);
    return html === undefined && code === undefined ? dropMarkers(old) : `<!-- block: ${name} -->`;
  });
  const take = (token: Token) => {
    const [, name] = PLACEHOLDER.exec(token.raw) ?? [];
    const { html, code } = name === undefined ? { html: render(token) } : findBlock(blocks, name);
    if (html !== undefined) parts.push({ kind: token.type === "hr" ? "rule" : "prose", html });
    if (code !== undefined) parts.push({ kind: "code", html: code });
    if (token.type === "heading" && token["depth"] === 2) headings.push(token["text"].replaceAll("`", ""));
  };
  for (const token of lex(filled)) {
    if (token.type === "space") continue;
    if (token.type === "code") fences.push(token as Tokens.Code);
    else {
      endFences();
      take(token);
    }
  }
  endFences();
  return { parts, headings };
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
      `<section><div>${before}</div>${code && `<div class="code">${code}</div>`}${after && `<div>${after}</div>`}</section>`,
  );
  return html.join("\n");
}

function renderRail(current: string, headings: readonly string[]): string {
  const pages = Object.entries(PAGES).map(
    ([page, title]) =>
      `<li><a href="${addressOf(page)}"${page === current ? ' aria-current="page"' : ""}>${title}</a></li>`,
  );
  const sections = headings.map((text) => `<li><a href="#${slugify(text)}">${escapeHtml(text)}</a></li>`);
  const onThisPage =
    sections.length > 0 ? `<div class="sections"><p>On this page</p><ul>${sections.join("")}</ul></div>` : "";
  return `<p>Pages</p><ul>${pages.join("")}</ul>${onThisPage}`;
}

function renderNeighbors(current: string): string {
  const names = Object.keys(PAGES);
  if (!names.includes(current)) return "";
  const link = (page: string | undefined, word: string, rel: string) =>
    page === undefined ? "" : `<a href="${addressOf(page)}" rel="${rel}"><span>${word}</span> ${PAGES[page]}</a>`;
  const index = names.indexOf(current);
  return link(names[index - 1], "Previous", "prev") + link(names[index + 1], "Next", "next");
}

/** What the script replaces by the name of this host. */
const HOST_NOTE = `<p class="hint" id="host-note">In the samples, <code>${EXAMPLE_HOST}</code> stands for the host of this page.</p>`;

/** What the page says of itself to programs. */
function renderLinks(name: string): string {
  const links = [
    `<link rel="canonical" href="${addressOf(name)}" />`,
    `<link rel="alternate" type="text/markdown" href="/docs/${name}.md" />`,
  ];
  return links.join("\n    ");
}

interface PageOptions {
  blocks: Map<string, Block>;
  template: string;
  /** The address of each style and script. */
  assets: Map<string, string>;
}

/** A whole HTML page, by the template. A name that isn't in PAGES has neither Markdown nor neighbors. */
export function renderPage(name: string, source: string, { blocks, template, assets }: PageOptions): string {
  const title = /^# (.*)$/m.exec(source)?.[1] ?? name;
  const { parts, headings } = renderParts(source, blocks);
  const [, description = ""] =
    /<p>([^]*?)<\/p>/.exec(parts.find(({ html }) => html.startsWith("<p>"))?.html ?? "") ?? [];
  const isReference = name === REFERENCE;
  const isPage = name in PAGES;
  const content = isReference ? renderReference(parts) : parts.map(({ html }) => html).join("\n");
  const underTitle = [
    isPage ? `<p class="source"><a href="/docs/${name}.md">This page as Markdown</a></p>` : "",
    content.includes(EXAMPLE_HOST) ? HOST_NOTE : "",
  ];
  const values: Record<string, string> = {
    style: assets.get("style.css") ?? "",
    // Rendering waits for it (`blocking`), so that nothing moves once the page is there.
    script: assets.get(isReference ? "try.ts" : "page.ts") ?? "",
    title: escapeHtml(title),
    // As much of the first paragraph as search engines show.
    description: /^.{1,160}[.](?= |$)/.exec(description.replaceAll(/<[^>]*>/g, "").replaceAll(/\s+/g, " "))?.[0] ?? "",
    links: isPage ? renderLinks(name) : "",
    rail: renderRail(name, headings),
    kind: isReference ? "reference" : "guide",
    content: content.replace("</h1>", `</h1>${underTitle.join("")}`),
    neighbors: renderNeighbors(name),
  };
  return template.replaceAll(/\{\{(\w+)\}\}/g, (_, key: string) => values[key] ?? "");
}
