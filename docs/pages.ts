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
/** On the page of errors the codes are worth a line in the rail, too. */
const CODE_HEADING = /^`\w+`$/;

interface Part {
  kind: "prose" | "code" | "rule";
  html: string;
}

interface Heading {
  text: string;
  isCode: boolean;
}

export function addressOf(page: string): string {
  return page === REFERENCE ? "/docs" : `/docs/${page}`;
}

/** The Markdown that is published: without markers, and without a host that isn't there. */
export function publishMarkdown(source: string): string {
  const text = replaceBlocks(source, (_, old) => old.split("\n").slice(1, -1).join("\n"));
  const named = text.replaceAll(EXAMPLE_HOST, "https://HOST");
  const note = named === text ? "" : "\n\n`HOST` stands for the host of this file.";
  return named.replace(/^# .*/, `$&${note}`).replaceAll(/\n{3,}/g, "\n\n");
}

/** The page in parts, prose and code by turns. */
function renderParts(source: string, blocks: Map<string, Block>): { parts: Part[]; headings: Heading[] } {
  const parts: Part[] = [];
  const headings: Heading[] = [];
  const { lex, render, renderFences } = createRenderer(addressOf);
  let fences: Tokens.Code[] = [];
  const endFences = () => {
    if (fences.length > 0) parts.push({ kind: "code", html: renderFences(fences) });
    fences = [];
  };
  const filled = replaceBlocks(source, (name) => {
    const { markdown, html, code } = findBlock(blocks, name);
    return html === undefined && code === undefined ? markdown : `<!-- block: ${name} -->`;
  });
  const take = (token: Token) => {
    const [, name] = PLACEHOLDER.exec(token.raw) ?? [];
    const { html, code } = name === undefined ? { html: render(token) } : findBlock(blocks, name);
    if (html !== undefined) parts.push({ kind: token.type === "hr" ? "rule" : "prose", html });
    if (code !== undefined) parts.push({ kind: "code", html: code });
    if (token.type !== "heading" || token["depth"] === 1) return;
    const isCode = CODE_HEADING.test(token["text"]);
    if (token["depth"] === 2 || isCode) headings.push({ text: token["text"].replaceAll("`", ""), isCode });
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

function renderRail(current: string, headings: readonly Heading[]): string {
  const pages = Object.entries(PAGES).map(
    ([page, title]) =>
      `<li><a href="${addressOf(page)}"${page === current ? ' aria-current="page"' : ""}>${title}</a></li>`,
  );
  const sections = headings.map(
    ({ text, isCode }) =>
      `<li><a href="#${slugify(text)}">${isCode ? `<code>${text}</code>` : escapeHtml(text)}</a></li>`,
  );
  const onThisPage = sections.length > 0 ? `<p>On this page</p><ul id="sections">${sections.join("")}</ul>` : "";
  return `<p>Pages</p><ul>${pages.join("")}</ul>${onThisPage}`;
}

function renderNeighbours(current: string): string {
  const names = Object.keys(PAGES);
  const link = (page: string | undefined, word: string, rel: string) =>
    page === undefined ? "" : `<a href="${addressOf(page)}" rel="${rel}"><span>${word}</span> ${PAGES[page]}</a>`;
  const index = names.indexOf(current);
  return link(names[index - 1], "Previous", "prev") + link(names[index + 1], "Next", "next");
}

/** A whole HTML page for the guide of that name, by the template. `assets` are the addresses of the style and the script. */
export function renderPage(
  name: string,
  source: string,
  blocks: Map<string, Block>,
  template: string,
  assets: { style: string; script: string },
): string {
  const title = /^# (.*)$/m.exec(source)?.[1] ?? name;
  const { parts, headings } = renderParts(source, blocks);
  const [, description = ""] =
    /<p>([^]*?)<\/p>/.exec(parts.find(({ html }) => html.startsWith("<p>"))?.html ?? "") ?? [];
  const isReference = name === REFERENCE;
  const values: Record<string, string> = {
    ...assets,
    name,
    title: escapeHtml(title),
    // As much of the first paragraph as search engines show.
    description: /^.{1,160}[.](?= |$)/.exec(description.replaceAll(/<[^>]*>/g, "").replaceAll(/\s+/g, " "))?.[0] ?? "",
    rail: renderRail(name, headings),
    kind: isReference ? "reference" : "guide",
    content: isReference ? renderReference(parts) : parts.map(({ html }) => html).join("\n"),
    neighbours: renderNeighbours(name),
  };
  return template.replaceAll(/\{\{(\w+)\}\}/g, (_, key: string) => values[key] ?? "");
}
