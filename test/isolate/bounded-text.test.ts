// A reply is read within its reader's bound, whatever its headers say of its length.
import { expect, test, vi } from "vitest";
import { readText } from "../../src/isolate/bounded-text.ts";

const TEXT = "é".repeat(50_000);
const BYTES = 100_000;

async function read(headers: Record<string, string>): Promise<{ text: string; counted: number[] }> {
  const counted: number[] = [];
  const text = await readText(new Response(TEXT, { headers }), (bytes) => void counted.push(bytes));
  return { text, counted };
}

test("a declared length is counted once", async () => {
  expect(await read({ "content-length": String(BYTES) })).toEqual({ text: TEXT, counted: [BYTES] });
});

test.each<Record<string, string>>([
  {},
  { "content-length": "5", "transfer-encoding": "chunked" },
  { "content-length": "5", "content-encoding": "gzip" },
  { "content-length": "5, 5" },
  { "content-length": "-5" },
  { "content-length": "" },
])("a length that is not to be believed is none: the bytes are counted as they arrive, with %j", async (headers) => {
  const { text, counted } = await read(headers);
  expect(text).toBe(TEXT);
  // In pieces of 64 KB: larger ones would cost memory, smaller ones time. The last one may be empty.
  expect(counted.filter(Boolean)).toEqual([65_536, BYTES - 65_536]);
});

test.each([0, 1, 2, 3, 4, 5, 6, 7, 8])("a character that is cut at byte %i of é€😀 arrives whole", async (at) => {
  const text = "é€😀";
  const bytes = new TextEncoder().encode(text);
  // A piece is 65,536 bytes: the first one ends within the text.
  const body = new Blob(["x".repeat(65_536 - at), bytes, "y".repeat(70_000)]);
  const received = await readText(new Response(body), () => {});
  expect(received.replaceAll(/^x+|y+$/g, "")).toBe(text);
});

test.each([{}, { "content-length": "70000" }])("a body that is refused is cancelled, with %j", async (headers) => {
  const cancel = vi.fn();
  const pull = (controller: ReadableByteStreamController) => controller.enqueue(new Uint8Array(70_000));
  const response = new Response(new ReadableStream({ type: "bytes", pull, cancel }), { headers });
  const refuse = () => {
    throw new Error("too large");
  };
  await expect(readText(response, refuse)).rejects.toThrow("too large");
  expect(cancel).toHaveBeenCalledOnce();
});
