// Links that show an example run: each leads to a tab, by its id.
for (const link of document.querySelectorAll<HTMLAnchorElement>("a[data-example]")) {
  const tab = document.getElementById(link.dataset["example"] ?? "");
  if (!(tab instanceof HTMLInputElement)) continue;
  link.addEventListener("click", (event) => {
    // The link can still be opened elsewhere.
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    // The tab is in a column that stays in view: a jump to it would scroll the text away.
    event.preventDefault();
    history.replaceState(null, "", link.hash);
    tab.click();
    tab.closest(".panel")?.scrollIntoView({ block: "nearest" });
  });
  const mark = () => link.toggleAttribute("aria-current", tab.checked);
  // The address may name a tab.
  if (location.hash === link.hash) tab.checked = true;
  mark();
  document.addEventListener("change", mark);
}
