// A digest for texts that must not be shown as they are: in a log, in the key of a cache.

/** SHA-256 of the text in UTF-8, in hexadecimal. */
export async function digestText(text: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))).toHex();
}
