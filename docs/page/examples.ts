// Links that show an example, by its id: a tab or something folded up. And long examples, which are cut until asked for.
for (const link of document.querySelectorAll<HTMLAnchorElement>("a[data-example]")) {
  const example = document.getElementById(link.dataset["example"] ?? "");
  link.addEventListener("click", () => {
    if (example instanceof HTMLInputElement) example.click();
    if (example instanceof HTMLDetailsElement) example.open = true;
    example?.closest(".panel")?.scrollIntoView({ block: "nearest" });
  });
  const mark = () => link.toggleAttribute("aria-current", example instanceof HTMLInputElement && example.checked);
  mark();
  document.addEventListener("change", mark);
}

/** The address may name a tab. */
const chosen = document.getElementById(decodeURIComponent(location.hash.slice(1)));
if (chosen instanceof HTMLInputElement && chosen.type === "radio") chosen.click();

const runs = document.querySelector("#runs");
const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) target.classList.toggle("cut", target.scrollHeight > target.clientHeight + 1);
});
for (const pre of runs?.querySelectorAll("pre") ?? []) {
  const button = document.createElement("button");
  button.className = "show-all";
  button.textContent = "Show all";
  button.setAttribute("aria-label", `Show all: ${pre.getAttribute("aria-label")}`);
  button.addEventListener("click", () => {
    runs?.classList.replace("folded", "whole");
    pre.focus();
  });
  pre.append(button);
  sizes.observe(pre);
}
runs?.classList.add("folded");
