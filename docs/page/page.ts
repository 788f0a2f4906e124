// Small comforts on every page: samples name the host that one reads on, and can be copied.
for (const code of document.querySelectorAll<HTMLElement>("pre code")) {
  const texts = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const { currentNode: node } = texts;
    node.nodeValue = node.nodeValue?.replaceAll("https://api.example.com", location.origin) ?? null;
  }
}

for (const pre of document.querySelectorAll<HTMLElement>("pre")) {
  const button = document.createElement("button");
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(pre.querySelector("code")?.textContent ?? "");
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2_000);
  });
  pre.append(button);
}
