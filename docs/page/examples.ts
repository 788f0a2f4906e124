// Links that show an example run: each leads to a tab, by its id.
for (const link of document.querySelectorAll<HTMLAnchorElement>("a[data-example]")) {
  const tab = document.getElementById(link.dataset["example"] ?? "");
  if (!(tab instanceof HTMLInputElement)) continue;
  link.addEventListener("click", () => {
    tab.click();
    tab.closest(".panel")?.scrollIntoView({ block: "nearest" });
  });
  const mark = () => link.toggleAttribute("aria-current", tab.checked);
  // The address may name a tab.
  if (location.hash === link.hash) tab.checked = true;
  mark();
  document.addEventListener("change", mark);
}
