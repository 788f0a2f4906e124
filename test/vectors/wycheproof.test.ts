// C2SP/wycheproof's vectors for JSON Web Signature and Key, on the way that a token takes: form, choice of key, signature.
// (Their payloads aren't claims, so the policy for claims is left out.) Every vector is checked, including those of symmetric keys.
import { createLocalJWKSet } from "jose";
import keyVectors from "vectors/json_web_key_test.json";
import signatureVectors from "vectors/json_web_signature_test.json";
import { expect, test } from "vitest";
import { readBearerToken, verifySignature } from "../../src/auth/access-token.ts";
import { readKeySet } from "../../src/auth/json-web-key-set.ts";
import { Failure } from "../../src/failure.ts";
import { SIGNATURE_ALGORITHMS } from "../../src/settings.ts";

/** Vectors whose result differs from the label. All but the last refuse vectors that the label calls valid. */
const DEVIATING_SIGNATURES = [
  // An empty payload isn't a set of claims (form).
  [259, 264, 268, 272, 320, 325],
  // The key is for PS256, the header says PS384: one algorithm per key (RFC 8725 §3.1).
  [346, 350],
  // The key is for ES521, which isn't an algorithm.
  [347, 351],
  // Symmetric keys verify nothing here.
  [1, 348, 352, 357, 358, 359, 372, 373, 376, 377],
];
const DEVIATING_KEYS = [
  // Symmetric keys verify nothing here.
  [2, 13, 14, 15],
  // Accepted: an RSA key with the ROCA weakness, which isn't checked in the issuer's keys.
  [7],
];

/** Whether the compact token is accepted by form, key and signature. */
async function accepts(jws: string, keys: readonly unknown[]): Promise<boolean> {
  try {
    checkForm(jws);
    const bytes = Uint8Array.fromBase64(/^[^.]+/.exec(jws)?.[0] ?? "", { alphabet: "base64url" });
    const header = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    const { alg = "", kid: keyId } = JSON.parse(header) as { alg?: string; kid?: string };
    const findKey = createLocalJWKSet(readKeySet(JSON.stringify({ keys }), SIGNATURE_ALGORITHMS));
    const isVerified = (await verifySignature({ text: jws, algorithm: alg, keyId }, findKey)) === "verified";
    return SIGNATURE_ALGORITHMS.includes(alg) && isVerified;
  } catch {
    return false;
  }
}

/** The vectors' payloads aren't claims: of all mistakes of form, only a payload that isn't a JSON object passes. */
function checkForm(jws: string): void {
  try {
    readBearerToken(`Bearer ${jws}`);
  } catch (error) {
    if (!(error instanceof Failure) || !/not JSON objects/.test(error.details.why ?? "")) throw error;
  }
}

test.for([
  ["signatures", signatureVectors, DEVIATING_SIGNATURES],
  ["keys", keyVectors, DEVIATING_KEYS],
] as const)("the vectors for %s", async ([, { testGroups, numberOfTests }, expected]) => {
  let count = 0;
  const deviating: number[] = [];
  for (const group of testGroups) {
    const set = group.public ?? group.private;
    for (const { tcId, jws, result } of group.tests) {
      count += 1;
      if ((await accepts(jws, set?.keys ?? [set])) !== (result === "valid")) deviating.push(tcId);
    }
  }
  expect(count).toBe(numberOfTests);
  expect(new Set(deviating)).toEqual(new Set(expected.flat()));
});
