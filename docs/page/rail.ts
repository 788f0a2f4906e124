// Marks the current section in the rail, and closes the rail of a narrow screen once a link is chosen.
const rail = document.querySelector<HTMLElement>("#rail");
const links = [...document.querySelectorAll<HTMLAnchorElement>(".sections a")];
const sections = links.flatMap((link) => {
  const heading = document.getElementById(decodeURIComponent(link.hash.slice(1)));
  return heading === null ? [] : [{ link, heading }];
});
/** A section is the current one when its heading has passed this part of the window. */
const LINE = 0.3;

function mark(): void {
  const { scrollHeight, clientHeight } = document.documentElement;
  const isAtEnd = scrollY + clientHeight >= scrollHeight - 2 && scrollY > 0;
  const passed = sections.filter(({ heading }) => heading.getBoundingClientRect().top < innerHeight * LINE);
  const current = (isAtEnd ? sections : passed).at(-1);
  for (const section of sections) {
    if (section === current) section.link.setAttribute("aria-current", "true");
    else section.link.removeAttribute("aria-current");
  }
}

mark();
document.addEventListener("scroll", mark, { passive: true });
addEventListener("resize", mark);
rail?.addEventListener("click", ({ target }) => {
  if (target instanceof Element && target.closest("a") !== null) rail.hidePopover();
});
