// A button for each piece of code. It stands in the bar that names the code, and its own name says what it copies.
const SHOWN_MS = 2_000;

/** The operation's code and the form's token are its own; a bar's code is the piece in view below it. */
function findCode(place: Element): Element | null {
  let code = place.querySelector(":scope > code, .secret") ?? place.nextElementSibling;
  while (code !== null && !code.checkVisibility()) code = code.nextElementSibling;
  return code;
}

/** A browser may forbid the clipboard: then the reader finds the text selected. */
async function copy(code: Element | null): Promise<string> {
  const isInput = code instanceof HTMLInputElement;
  try {
    await navigator.clipboard.writeText((isInput ? code.value : code?.textContent) ?? "");
    return "Copied";
  } catch {
    if (isInput) code.select();
    else if (code !== null) getSelection()?.selectAllChildren(code);
    return "Not copied: selected";
  }
}

for (const place of document.querySelectorAll<HTMLElement>("[data-copy]")) {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "copy" });
  const name = `Copy: ${place.dataset["copy"]}`;
  const show = (word: string, label: string) => {
    button.textContent = word;
    button.setAttribute("aria-label", label);
  };
  show("Copy", name);
  button.addEventListener("click", async () => {
    const word = await copy(findCode(place));
    show(word, word);
    setTimeout(() => show("Copy", name), SHOWN_MS);
  });
  place.append(button);
}
