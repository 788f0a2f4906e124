// `Uint8Array.fromBase64` for the Worker's code: workerd has it, Node 22 doesn't. Lenient; the Worker checks the form of a token
// first.
declare global {
  interface Uint8ArrayConstructor {
    fromBase64(text: string, options?: { alphabet?: "base64" | "base64url" }): Uint8Array<ArrayBuffer>;
  }
}

if (!("fromBase64" in Uint8Array)) {
  const fromBase64 = (text: string, { alphabet = "base64" }: { alphabet?: "base64" | "base64url" } = {}) =>
    new Uint8Array(Buffer.from(text, alphabet));
  Object.defineProperty(Uint8Array, "fromBase64", { value: fromBase64 });
}

export {};
