// The bytes of database replies under way in this isolate: bounded for each reply and for all together, because a reply costs
// several times its size in memory before its record is sent.

/** One reply. JSON escapes can double a text: this takes results of 5 MB whatever they hold, as a rule of 10. */
export const MAX_REPLY_BYTES = 16_777_216;
/** All replies together. */
const MAX_BYTES_UNDER_WAY = 33_554_432;

export class ReplyTooLarge extends Error {}
export class Overloaded extends Error {}

let bytesUnderWay = 0;

/** The driver's fetch: counts what arrives. The body errors with `ReplyTooLarge` or `Overloaded` beyond the bounds. */
export async function fetchWithinBudget(url: string, init: RequestInit): Promise<Response> {
  const response = await fetch(url, init);
  return new Response(response.body?.pipeThrough(countBytes()), { status: response.status });
}

function countBytes(): TransformStream<Uint8Array, Uint8Array> {
  let bytes = 0;
  return new TransformStream({
    transform(chunk, controller) {
      bytes += chunk.byteLength;
      bytesUnderWay += chunk.byteLength;
      if (bytes > MAX_REPLY_BYTES) controller.error(new ReplyTooLarge(`more than ${MAX_REPLY_BYTES} bytes`));
      else controller.enqueue(chunk);
    },
    flush() {
      bytesUnderWay -= bytes;
    },
  });
}
