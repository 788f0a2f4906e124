// Shows JSON in colour, indented or as it came. Never parses it: each token is shown with the characters that were sent.
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[-\d][\d.eE+-]*|true|false|null|[{}[\],:]/g;
/** Longer texts are shown as they came: colours for them would hold up the page. */
const MAX_INDENTED_LENGTH = 300_000;

export function showJson(element: HTMLElement, json: string, isIndented: boolean): void {
  if (!isIndented || json.length > MAX_INDENTED_LENGTH) element.textContent = json;
  else element.replaceChildren(...indent(json));
}

function* indent(json: string): Generator<string | HTMLElement> {
  let depth = 0;
  let previous = "";
  for (const { 0: token, index } of json.matchAll(TOKEN)) {
    const isEnd = token === "}" || token === "]";
    const isFirst = previous === "{" || previous === "[";
    if (isEnd) depth -= 1;
    if (previous === "," || isEnd !== isFirst) yield `\n${"  ".repeat(depth)}`;
    if (token === "{" || token === "[") depth += 1;
    yield token === ":" ? ": " : colour(token, json[index + token.length] === ":");
    previous = token;
  }
}

/** The classes are highlight.js's, which colours the samples. */
function colour(token: string, isKey: boolean): string | HTMLElement {
  const span = document.createElement("span");
  if (token.startsWith('"')) span.className = isKey ? "hljs-attr" : "hljs-string";
  else if (/^[-\d]/.test(token)) span.className = "hljs-number";
  else if (/^[tfn]/.test(token)) span.className = "hljs-literal";
  else return token;
  span.textContent = token;
  return span;
}
