// The bytes of database replies under way in this isolate: bounded for each reply and for all together, because to parse a
// reply and write its record costs several times its size in memory.

/** One reply, as JSON: escapes can double a text, so this takes any usual result of 5 MB and most of 8. */
export const MAX_REPLY_BYTES = 16_777_216;
/** All replies that arrive at the same time. */
const MAX_BYTES_UNDER_WAY = 33_554_432;

export class ReplyTooLarge extends Error {}
export class Overloaded extends Error {}

let bytesUnderWay = 0;

/** The driver's fetch. Reads the reply as far as the bounds allow; throws `ReplyTooLarge` or `Overloaded` beyond them. */
export async function fetchWithinBudget(url: string, init: RequestInit): Promise<Response> {
  const response = await fetch(url, init);
  const declared = Number(response.headers.get("content-length"));
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response.body ?? []) {
      bytes += chunk.byteLength;
      bytesUnderWay += chunk.byteLength;
      if (Math.max(bytes, declared) > MAX_REPLY_BYTES) {
        throw new ReplyTooLarge(`${Math.max(bytes, declared)} bytes or more, of ${MAX_REPLY_BYTES}`);
      }
      if (bytesUnderWay > MAX_BYTES_UNDER_WAY) throw new Overloaded(`${bytesUnderWay} bytes are under way`);
      chunks.push(chunk);
    }
  } finally {
    bytesUnderWay -= bytes;
  }
  return new Response(new Blob(chunks), { status: response.status });
}
