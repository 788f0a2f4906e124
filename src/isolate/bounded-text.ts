// The body of a reply as text, within the bound that its reader sets.

/** In small pieces with one reused buffer: to read replies of 1 MB at once doubles the isolate's peak. */
const PIECE_BYTES = 65_536;

/**
 * Reports sizes to `count`: the whole length at once if the reply declares it, else each piece's as it arrives. If `count`
 * throws, the body is cancelled and the read fails with that error.
 */
export async function readText(response: Response, count: (bytes: number) => void): Promise<string> {
  const { headers } = response;
  // No length is believed of a compressed or a chunked body (RFC 9112 §6.3).
  const isEncoded = headers.has("content-encoding") || headers.has("transfer-encoding");
  const declared = isEncoded ? 0 : Number(headers.get("content-length"));
  const isDeclared = declared > 0;
  let reader: ReadableStreamBYOBReader | undefined;
  try {
    if (isDeclared) count(declared);
    // The usual case, at a fifth less CPU per request.
    if (isDeclared && declared <= PIECE_BYTES) return await response.text();
    const decoder = new TextDecoder();
    let text = "";
    reader = response.body?.getReader({ mode: "byob" });
    let piece = await reader?.readAtLeast(PIECE_BYTES, new Uint8Array(PIECE_BYTES));
    while (piece?.value !== undefined) {
      if (!isDeclared) count(piece.value.byteLength);
      text += decoder.decode(piece.value, { stream: true });
      piece = piece.done ? undefined : await reader?.readAtLeast(PIECE_BYTES, new Uint8Array(piece.value.buffer));
    }
    return text + decoder.decode();
  } catch (error) {
    await (reader ?? response.body)?.cancel().catch(() => {});
    throw error;
  }
}
