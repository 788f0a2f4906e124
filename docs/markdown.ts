// Turns Markdown into the HTML of a page: headings with links, highlighted code under a bar that names it, statuses as pills. Labeled
// fences in a row (`sh curl`, `js JavaScript`: the language, then the label) are tabs that work without JavaScript; other fences
// stay one below the other. Whatever can be scrolled has a name.
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import go from "highlight.js/lib/languages/go";
import http from "highlight.js/lib/languages/http";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import { Marked, type Token, type Tokens } from "marked";

const LANGUAGES = { js: javascript, ts: javascript, json, python, sh: bash, go, http };
const LANGUAGE_NAMES: Record<string, string> = {
  js: "JavaScript",
  ts: "TypeScript",
  json: "JSON",
  sh: "Shell",
  http: "HTTP",
};
for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);

const MAX_TABS = 4;

/** Code with the name in its bar, or on its tab. */
export interface Sample {
  label: string;
  language: string;
  code: string;
}

export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** The id of a heading, as GitHub makes it: links work there and here. */
export function slugify(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(/\s/g, "-");
}

function renderPill(status: number | string): string {
  return `<code class="pill s${String(status)[0]}">${status}</code>`;
}

/** `name` is for screen readers: the element takes the focus, because it may scroll. */
function renderCode({ language, code }: Omit<Sample, "label">, name: string): string {
  const html = hljs.getLanguage(language) ? hljs.highlight(code, { language }).value : escapeHtml(code);
  // They have no color, and are a fifth of the page.
  const spare = html.replaceAll(/<span class="hljs-punctuation">(.*?)<\/span>/g, "$1");
  return `<pre tabindex="0" role="group" aria-label="${escapeHtml(name)}"><code>${spare}</code></pre>`;
}

/** Code under a bar. `section` tells it from others of its language. */
export function renderPanel(sample: Sample, section: string): string {
  const name = `${sample.label}, ${section}`;
  const bar = `<p class="bar" data-copy="${escapeHtml(name)}">${escapeHtml(sample.label)}</p>`;
  return `<div class="panel">${bar}${renderCode(sample, name)}</div>`;
}

/** Code of which one piece is in view: a row of radio buttons and CSS. Each tab has the id of its group and its label. */
export function renderTabs(id: string, title: string, samples: readonly Sample[]): string {
  if (samples.length > MAX_TABS) throw new Error(`${title}: the style has only ${MAX_TABS} tabs`);
  const tabs = samples.map(({ label }, index) => {
    const checked = index === 0 ? " checked" : "";
    const input = `<input type="radio" name="${id}" id="${id}-${slugify(label)}" value="${label}"${checked}>`;
    return `<label>${input}${escapeHtml(label)}</label>`;
  });
  const name = escapeHtml(title);
  const code = samples.map((sample) => renderCode(sample, `${sample.label}, ${title}`));
  return `<div class="panel tabs" id="${id}"><div class="bar" data-copy="${name}"><div role="radiogroup" aria-label="${name}">${tabs.join("")}</div></div>${code.join("")}</div>`;
}

/** Renders the tokens of one page. `addressOf` gives the address of another page by its file's name. */
export function createRenderer(addressOf: (page: string) => string) {
  let section = "";
  let groups = 0;
  const marked = new Marked({
    renderer: {
      heading({ tokens, depth }) {
        const html = this.parser.parseInline(tokens);
        section = this.parser.parseInline(tokens, this.parser.textRenderer);
        if (depth === 1) return `<h1>${html}</h1>`;
        const id = slugify(section);
        return `<h${depth} id="${id}"><a href="#${id}">${html}</a></h${depth}>`;
      },
      codespan: ({ text }) => (/^[2-5]\d\d( \w+)?$/.test(text) ? renderPill(text) : `<code>${escapeHtml(text)}</code>`),
      code: (token) => renderFences([token]),
      table({ header, rows }) {
        const heads = header.map(({ tokens }) => this.parser.parseInline(tokens));
        const names = header.map(({ tokens }) => escapeHtml(this.parser.parseInline(tokens, this.parser.textRenderer)));
        const body = rows.map((cells) => {
          const row = cells.map(
            ({ tokens }, index) => `<td data-head="${names[index]}">${this.parser.parseInline(tokens)}</td>`,
          );
          return `<tr>${row.join("")}</tr>`;
        });
        const head = heads.map((html) => `<th>${html}</th>`).join("");
        return `<table><thead><tr>${head}</tr></thead><tbody>${body.join("")}</tbody></table>`;
      },
      link({ href, tokens }) {
        const target = href.replace(/^([\w-]+)\.md/, (_, page: string) => addressOf(page));
        return `<a href="${escapeHtml(target)}">${this.parser.parseInline(tokens)}</a>`;
      },
    },
  });

  /** Fences in a row: one that has a label is a tab, next to those before and after it that have one, too. */
  function renderFences(fences: readonly Tokens.Code[]): string {
    const rows: Sample[][] = [];
    let isLabeled = false;
    for (const { text, lang = "" } of fences) {
      const [language = "", ...words] = lang.split(" ");
      const sample = { language, label: words.join(" ") || (LANGUAGE_NAMES[language] ?? "Text"), code: text };
      if (isLabeled && words.length > 0) rows.at(-1)?.push(sample);
      else rows.push([sample]);
      isLabeled = words.length > 0;
    }
    const render = (row: Sample[]) =>
      row.length > 1
        ? renderTabs(`samples-${(groups += 1)}`, section, row)
        : row.map((sample) => renderPanel(sample, section)).join("");
    return rows.map(render).join("");
  }

  return {
    lex: (source: string): Token[] => marked.lexer(source),
    render: (token: Token): string => marked.parser([token]),
    renderInline: (text: string): string => String(marked.parseInline(text)),
    renderFences,
  };
}
