// A button for each piece of code. It stands in the bar that names the code, and its own name says what it copies.
const SHOWN_MS = 2_000;

/** The operation's code is its own; a bar's is the piece in view below it. */
function findCode(place: Element): Element | null {
  let code = place.querySelector(":scope > code") ?? place.nextElementSibling;
  while (code !== null && !code.checkVisibility()) code = code.nextElementSibling;
  return code;
}

for (const place of document.querySelectorAll<HTMLElement>("[data-copy]")) {
  const button = document.createElement("button");
  const name = `Copy: ${place.dataset["copy"]}`;
  const show = (word: string, label: string) => {
    button.textContent = word;
    button.setAttribute("aria-label", label);
  };
  button.type = "button";
  button.className = "copy";
  show("Copy", name);
  button.addEventListener("click", async () => {
    const code = findCode(place);
    await navigator.clipboard.writeText((code?.querySelector("code") ?? code)?.textContent ?? "");
    show("Copied", "Copied");
    setTimeout(() => show("Copy", name), SHOWN_MS);
  });
  place.append(button);
}
