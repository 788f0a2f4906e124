// Paper can't unfold anything: everything is unfolded for it, and folded up again afterwards.
const folded = new Set<HTMLDetailsElement>();

addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll<HTMLDetailsElement>("main details:not([open])")) {
    folded.add(details);
    // Those of one name would close each other.
    details.removeAttribute("name");
    details.open = true;
  }
});

addEventListener("afterprint", () => {
  for (const details of folded) details.open = false;
  folded.clear();
});
