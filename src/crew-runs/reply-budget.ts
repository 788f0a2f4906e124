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
  const { status } = response;
  let bytes = 0;
  const count = (arrived: number) => {
    bytes += arrived;
    bytesUnderWay += arrived;
    if (bytes > MAX_REPLY_BYTES) throw new ReplyTooLarge(`${bytes} bytes or more, of ${MAX_REPLY_BYTES}`);
    if (bytesUnderWay > MAX_BYTES_UNDER_WAY) throw new Overloaded(`${bytesUnderWay} bytes are under way`);
  };
  try {
    const declared = response.headers.get("content-length");
    if (declared !== null && !response.headers.has("content-encoding")) {
      count(Number(declared));
      return new Response(await response.arrayBuffer(), { status });
    }
    const chunks: Uint8Array[] = [];
    for await (const chunk of response.body ?? []) {
      count(chunk.byteLength);
      chunks.push(chunk);
    }
    return new Response(new Blob(chunks), { status });
  } finally {
    bytesUnderWay -= bytes;
  }
}
