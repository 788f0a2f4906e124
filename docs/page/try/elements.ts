// The elements of the form and of the response.
export function find<T extends HTMLElement>(selector: string): T {
  const element = document.querySelector<T>(selector);
  if (element === null) throw new Error(`the page lacks ${selector}`);
  return element;
}

export const field = (name: string): HTMLInputElement => find(`#try [name=${name}]`);

/** Sets a field as if it had been typed into. */
export function setField(name: string, value: string): void {
  field(name).value = value;
  field(name).dispatchEvent(new Event("input", { bubbles: true }));
}
