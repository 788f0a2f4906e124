// The bytes of database replies under way in this isolate, bounded per reply and for all together, because to parse a reply and
// serialise its record takes several times its size in memory. bench/memory.ts measures the bounds.
import { Failure } from "../../failure.ts";
import { readText } from "../../isolate/bounded-text.ts";
import { isRecent } from "../../isolate/clock.ts";

/** One reply, as JSON: escapes can double a text, so this is enough for any usual result of 5 MB and most of 8. */
export const MAX_REPLY_BYTES = 16_777_216;
/** All replies that arrive at the same time: three usual results of 5 MB, or one of the bound and some smaller ones. */
const MAX_BYTES_UNDER_WAY = 25_165_824;
/** A reply up to this size is never refused because of others. */
const SMALL_REPLY_BYTES = 65_536;
/** Longer than any attempt may take. A request that was cut off never ends its reply: after this time it doesn't count. */
const MAX_REPLY_MS = 10_000;

let underWay: { startedMs: number; bytes: number }[] = [];

/**
 * The driver's fetch. Reads the reply as far as the bounds allow; fails with `record_too_large` or `overloaded` beyond them.
 * Returns what the driver uses of a response: a real one would hold the text once more, as bytes.
 */
export async function fetchWithinBudget(url: string, init: RequestInit) {
  const response = await fetch(url, init);
  const { ok, status } = response;
  const reply = { startedMs: Date.now(), bytes: 0 };
  underWay = [...underWay, reply].filter(({ startedMs }) => isRecent(startedMs, MAX_REPLY_MS));
  try {
    const text = await readText(response, (arrived) => {
      reply.bytes += arrived;
      const total = underWay.reduce((sum, { bytes }) => sum + bytes, 0);
      const why = `${reply.bytes} bytes or more; ${total} under way`;
      if (reply.bytes > MAX_REPLY_BYTES) throw new Failure("record_too_large", { why });
      if (reply.bytes > SMALL_REPLY_BYTES && total > MAX_BYTES_UNDER_WAY) throw new Failure("overloaded", { why });
    });
    return { ok, status, json: async () => JSON.parse(text), text: async () => text };
  } finally {
    underWay = underWay.filter((other) => other !== reply);
  }
}
