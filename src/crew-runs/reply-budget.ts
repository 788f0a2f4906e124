// The bytes of database replies under way in this isolate: bounded for each reply and for all together, because to parse a
// reply and write its record costs several times its size in memory. `npm run measure:memory` measures the bounds.
import { readText } from "../bounded-text.ts";
import { Failure } from "../failure.ts";

/** One reply, as JSON: escapes can double a text, so this takes any usual result of 5 MB and most of 8. */
export const MAX_REPLY_BYTES = 16_777_216;
/** All replies that arrive at the same time: three usual results of 5 MB, or one of the bound and some smaller ones. */
const MAX_BYTES_UNDER_WAY = 25_165_824;

let bytesUnderWay = 0;

/**
 * The driver's fetch. Reads the reply as far as the bounds allow; fails with `record_too_large` or `overloaded` beyond them.
 * Gives what the driver uses of a response: a real one would hold the text once more, as bytes.
 */
export async function fetchWithinBudget(url: string, init: RequestInit) {
  const response = await fetch(url, init);
  const { ok, status } = response;
  let bytes = 0;
  try {
    const text = await readText(response, (arrived) => {
      bytes += arrived;
      bytesUnderWay += arrived;
      const why = `${bytes} bytes or more; ${bytesUnderWay} under way`;
      if (bytes > MAX_REPLY_BYTES) throw new Failure("record_too_large", { why });
      if (bytesUnderWay > MAX_BYTES_UNDER_WAY) throw new Failure("overloaded", { why });
    });
    return { ok, status, json: async () => JSON.parse(text), text: async () => text };
  } finally {
    bytesUnderWay -= bytes;
  }
}
