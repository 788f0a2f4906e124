// `Uint8Array.fromBase64` (ECMAScript 2026), which workerd has and Node 24 has not: the Worker's own sources use it.

type Alphabet = "base64" | "base64url";

declare global {
  interface Uint8ArrayConstructor {
    fromBase64(text: string, options: { alphabet: Alphabet }): Uint8Array<ArrayBuffer>;
  }
}

if (!("fromBase64" in Uint8Array)) {
  Object.defineProperty(Uint8Array, "fromBase64", {
    value(text: string, { alphabet }: { alphabet: Alphabet }) {
      // Buffer skips what is no Base64.
      if (!/^[\w+/-]*={0,2}$/.test(text)) throw new SyntaxError("no Base64");
      return new Uint8Array(Buffer.from(text, alphabet));
    },
  });
}

export {};
