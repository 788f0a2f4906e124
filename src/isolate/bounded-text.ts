// The body of a reply as text, within the bound that its reader sets.

/** One reused buffer per reply. In small pieces, because garbage of 5 MB at a time doubles the isolate's peak. */
const PIECE_BYTES = 65_536;

/**
 * Reports sizes to `count`: the whole length at once if the reply declares it, else each piece's as it arrives. If `count`
 * throws, the body is cancelled and the read fails with that error.
 */
export async function readText({ body, headers }: Response, count: (bytes: number) => void): Promise<string> {
  const reader = body?.getReader({ mode: "byob" });
  const decoder = new TextDecoder();
  let text = "";
  // No length is believed of a compressed or a chunked body (RFC 9112 §6.3).
  const isEncoded = headers.has("content-encoding") || headers.has("transfer-encoding");
  const declared = isEncoded ? undefined : /^\d{1,15}$/.exec(headers.get("content-length") ?? "")?.[0];
  try {
    if (declared !== undefined) count(Number(declared));
    // Room for all of a short reply and one byte more, so that one read finds its end.
    const size = Math.min(PIECE_BYTES, Number(declared ?? PIECE_BYTES) + 1);
    let piece = await reader?.readAtLeast(size, new Uint8Array(size));
    while (piece?.value !== undefined) {
      if (declared === undefined) count(piece.value.byteLength);
      text += decoder.decode(piece.value, { stream: true });
      const isLast = piece.done || piece.value.byteLength < size;
      piece = isLast ? undefined : await reader?.readAtLeast(size, new Uint8Array(piece.value.buffer));
    }
  } catch (error) {
    await reader?.cancel().catch(() => {});
    throw error;
  }
  return text + decoder.decode();
}
