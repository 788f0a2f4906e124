// Samples and the operation name the host that serves the page.
for (const code of document.querySelectorAll("pre code")) {
  const texts = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const { currentNode: node } = texts;
    node.nodeValue = node.nodeValue?.replaceAll("https://api.example.com", location.origin) ?? null;
  }
}

const host = document.createElement("span");
host.textContent = location.origin;
document.querySelector(".operation code")?.prepend(host);
document.querySelector("#host-note")?.remove();
