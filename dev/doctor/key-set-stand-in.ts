// Stands in for readKeySet of src/auth/key-set.ts.
import type { JWK } from "jose";

export function readKeySet(text: string, algorithms: readonly string[]): { keys: JWK[] } {
  const value: unknown = JSON.parse(text);
  const keys = typeof value === "object" && value !== null && "keys" in value ? value.keys : undefined;
  if (!Array.isArray(keys)) throw new Error("the reply is no JSON Web Key Set");
  const usable = (keys as JWK[]).filter(
    ({ alg, use }) => use !== "enc" && alg !== undefined && algorithms.includes(alg),
  );
  if (usable.length === 0) throw new Error("the key set holds no usable signature key");
  return { keys: usable };
}
