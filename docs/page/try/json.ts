// Lays out the body of a response, as it came and indented. JSON is never parsed: each token is shown with the characters that
// were sent.
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[-\d][\d.eE+-]*|true|false|null|[{}[\],:]/g;
/** More tokens are indented, but not colored: an element for each would hold up the page. */
const MAX_COLORED_TOKENS = 20_000;

const color = (textContent: string, kind: string) =>
  Object.assign(document.createElement("span"), { className: `hljs-${kind}`, textContent });

export interface Layouts {
  asSent: Node;
  indented: Node;
}

export function layOut(text: string, type: string | null): Layouts {
  const asSent = document.createTextNode(text);
  // An error of a proxy may be HTML.
  if (!/[/+]json\b/.test(type ?? "")) return { asSent, indented: asSent };
  const pieces = [...indent(text)];
  const indented = document.createElement("span");
  if (pieces.length > MAX_COLORED_TOKENS) indented.textContent = pieces.map(([piece]) => piece).join("");
  // One by one: all at once would be more arguments than a call can have.
  else for (const [piece, kind] of pieces) indented.append(kind === "" ? piece : color(piece, kind));
  return { asSent, indented };
}

/** The tokens and the space before each. The kinds are highlight.js's, which colors the samples. */
function* indent(json: string): Generator<[piece: string, kind: string]> {
  let depth = 0;
  let previous = "";
  for (const { 0: token, index } of json.matchAll(TOKEN)) {
    const isEnd = token === "}" || token === "]";
    const isFirst = previous === "{" || previous === "[";
    if (isEnd) depth -= 1;
    if (previous === "," || isEnd !== isFirst) yield [`\n${"  ".repeat(depth)}`, ""];
    if (token === "{" || token === "[") depth += 1;
    yield token === ":" ? [": ", ""] : [token, nameKind(token, json[index + token.length] === ":")];
    previous = token;
  }
}

function nameKind(token: string, isKey: boolean): string {
  if (token.startsWith('"')) return isKey ? "attr" : "string";
  if (/^[-\d]/.test(token)) return "number";
  return /^[tfn]/.test(token) ? "literal" : "";
}
