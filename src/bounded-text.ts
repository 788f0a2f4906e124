// The body of a reply as text, read as far as its reader allows.

/** `count` hears of the bytes of each chunk as it arrives, and throws where they are too many: then this does, too. */
export async function readText({ body }: Response, count: (bytes: number) => void): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of body ?? []) {
    count(chunk.byteLength);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
