// The secrets of the tests in this isolate: their tokens, the passwords, and what a test declares to be one. After each test, console.ts checks
// that no line on the console contains a part of one.

/** So many equal characters in a row are a part of a secret and no coincidence. */
const PART_LENGTH = 16;
const parts = new Set<string>();
/** Those that are shorter. */
const wholes = new Set<string>();

/** Declares a text to be a secret, and returns it. */
export function keepSecret(text: string): string {
  if (text !== "" && text.length < PART_LENGTH) wholes.add(text);
  for (let at = 0; at + PART_LENGTH <= text.length; at += PART_LENGTH) parts.add(text.slice(at, at + PART_LENGTH));
  return text;
}

/** A part of a secret that the text contains, if any. */
export function findSecret(text: string): string | undefined {
  const pieces = Array.from({ length: text.length }, (_, at) => text.slice(at, at + PART_LENGTH));
  return pieces.find((piece) => parts.has(piece)) ?? [...wholes].find((whole) => text.includes(whole));
}
