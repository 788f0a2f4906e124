// The bytes of database replies under way in this isolate: bounded for each reply and for all together, because to parse a
// reply and write its record costs several times its size in memory. `npm run measure:memory` measures the bounds.

/** One reply, as JSON: escapes can double a text, so this takes any usual result of 5 MB and most of 8. */
export const MAX_REPLY_BYTES = 16_777_216;
/** All replies that arrive at the same time: three usual results of 5 MB, or one of the bound and some smaller ones. */
const MAX_BYTES_UNDER_WAY = 25_165_824;

export class ReplyTooLarge extends Error {}
export class Overloaded extends Error {}

let bytesUnderWay = 0;

/**
 * The driver's fetch. Reads the reply as far as the bounds allow; throws `ReplyTooLarge` or `Overloaded` beyond them. Gives
 * what the driver uses of a response: a real one would hold the text once more, as bytes.
 */
export async function fetchWithinBudget(
  url: string,
  init: RequestInit,
): Promise<Pick<Response, "ok" | "status" | "json" | "text">> {
  const response = await fetch(url, init);
  const { ok, status, headers } = response;
  let bytes = 0;
  const count = (arrived: number) => {
    bytes += arrived;
    bytesUnderWay += arrived;
    if (bytes > MAX_REPLY_BYTES) throw new ReplyTooLarge(`${bytes} bytes or more, of ${MAX_REPLY_BYTES}`);
    if (bytesUnderWay > MAX_BYTES_UNDER_WAY) throw new Overloaded(`${bytesUnderWay} bytes are under way`);
  };
  let text = "";
  try {
    const declared = headers.get("content-length");
    if (declared !== null && !headers.has("content-encoding")) {
      count(Number(declared));
      text = await response.text();
    } else {
      const decoder = new TextDecoder();
      for await (const chunk of response.body ?? []) {
        count(chunk.byteLength);
        text += decoder.decode(chunk, { stream: true });
      }
      text += decoder.decode();
    }
  } finally {
    bytesUnderWay -= bytes;
  }
  return { ok, status, json: async () => JSON.parse(text), text: async () => text };
}
