// The body of a reply as text, within the bound that its reader sets.

/**
 * Tells `count` of the bytes: all at once where the reply declares its length, else as they arrive. Where they are too many,
 * `count` throws, and the read ends with its error.
 */
export async function readText(response: Response, count: (bytes: number) => void): Promise<string> {
  const { body, headers } = response;
  const declared = headers.get("content-length") ?? "";
  // Chunk by chunk costs several times as much. No length is believed of a compressed or a chunked body (RFC 9112 §6.3).
  const isPlain = !headers.has("content-encoding") && !headers.has("transfer-encoding");
  if (isPlain && /^\d{1,15}$/.test(declared)) {
    count(Number(declared));
    return response.text();
  }
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of body ?? []) {
    count(chunk.byteLength);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
