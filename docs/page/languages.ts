// One choice of language for all samples, on this page and the next.
const KEY = "language";
const inputs = [...document.querySelectorAll<HTMLInputElement>('.tabs input[name^="samples-"]')];

function choose(language: string | null): void {
  for (const input of inputs) if (input.value === language) input.checked = true;
}

/** A browser may forbid the storage: the choice is then this page's only. */
function withStorage<T>(use: (storage: Storage) => T): T | null {
  try {
    return use(localStorage);
  } catch {
    return null;
  }
}

choose(withStorage((storage) => storage.getItem(KEY)));

for (const input of inputs) {
  // Unlike a change, a click may also be on the language that is already shown.
  input.addEventListener("click", () => {
    const { top } = input.getBoundingClientRect();
    choose(input.value);
    withStorage((storage) => storage.setItem(KEY, input.value));
    // Samples above may have grown: the reader's place stays.
    scrollBy(0, input.getBoundingClientRect().top - top);
  });
}
