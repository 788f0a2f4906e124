// C2SP/wycheproof's vectors for JSON Web Signature and Key, on the way that a token takes: form, choice of key, signature.
// (Their payloads aren't claims, so the policy for claims is left out.) Every vector is checked, including those of symmetric keys.
import { expect, inject, test } from "vitest";
import { createLocalJWKSet } from "jose";
import { readBearerToken, verifySignature } from "../../src/auth/access-token.ts";
import { readKeySet } from "../../src/auth/json-web-key-set.ts";
import { Failure } from "../../src/failure.ts";
import { SIGNATURE_ALGORITHMS } from "../../src/settings.ts";

interface Cause {
  why: string;
  ids: readonly number[];
}

/** Vectors whose result differs from the label. All but the last refuse vectors that the label calls valid. */
const DEVIATIONS: Record<"signatures" | "keys", readonly Cause[]> = {
  signatures: [
    { why: "an empty payload isn't a set of claims (form)", ids: [259, 264, 268, 272, 320, 325] },
    { why: "the key is for PS256, the header says PS384: one algorithm per key (RFC 8725 §3.1)", ids: [346, 350] },
    { why: "the key is for ES521, which isn't an algorithm", ids: [347, 351] },
    { why: "symmetric keys verify nothing here", ids: [1, 348, 352, 357, 358, 359, 372, 373, 376, 377] },
  ],
  keys: [
    { why: "symmetric keys verify nothing here", ids: [2, 13, 14, 15] },
    { why: "accepted: an RSA key with the ROCA weakness, which isn't checked in the issuer's keys", ids: [7] },
  ],
};

const keysOf = (set: object | undefined): readonly unknown[] =>
  set !== undefined && "keys" in set && Array.isArray(set.keys) ? set.keys : [set];

function readHeader(jws: string): { alg?: string; kid?: string } {
  const bytes = Uint8Array.fromBase64(/^[^.]+/.exec(jws)?.[0] ?? "", { alphabet: "base64url" });
  return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)) as { alg?: string };
}

function verify(jws: string, keys: readonly unknown[]): ReturnType<typeof verifySignature> {
  const { alg = "", kid } = readHeader(jws);
  const findKey = createLocalJWKSet(readKeySet(JSON.stringify({ keys }), SIGNATURE_ALGORITHMS));
  return verifySignature({ text: jws, algorithm: alg, keyId: kid }, findKey);
}

/** Whether the compact token is accepted by form, key and signature. */
async function accepts(jws: string, keys: readonly unknown[]): Promise<boolean> {
  try {
    checkForm(jws);
    return SIGNATURE_ALGORITHMS.includes(readHeader(jws).alg ?? "") && (await verify(jws, keys)) === "verified";
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

const files = inject("vectors");
if (files === undefined) throw new Error("VECTORS=FOLDER is missing; CONTRIBUTING.md names the source of the files");

test.for(["signatures", "keys"] as const)("the vectors for %s", async (name) => {
  const { testGroups, numberOfTests } = files[name];
  let count = 0;
  const deviating: number[] = [];
  for (const group of testGroups) {
    const keys = keysOf(group.public ?? group.private);
    for (const { tcId, comment, jws, result } of group.tests) {
      count += 1;
      if ((await accepts(jws, keys)) === (result === "valid")) continue;
      deviating.push(tcId);
      const why = DEVIATIONS[name].find(({ ids }) => ids.includes(tcId))?.why ?? "NOT EXPLAINED";
      console.log(`${tcId} ${comment} (labelled ${result}): ${why}`);
    }
  }
  expect(count).toBe(numberOfTests);
  expect(new Set(deviating)).toEqual(new Set(DEVIATIONS[name].flatMap(({ ids }) => ids)));
});

test("an empty payload is all that is wrong with those: their signatures verify", async () => {
  const empty = DEVIATIONS.signatures[0]?.ids ?? [];
  for (const group of files.signatures.testGroups) {
    for (const { tcId, jws } of group.tests) {
      if (empty.includes(tcId)) expect(await verify(jws, keysOf(group.public))).toBe("verified");
    }
  }
});
