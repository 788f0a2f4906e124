// C2SP/wycheproof's vectors for JSON Web Signature and Key, on the way that a token takes: form, choice of key, signature.
// (Their payloads aren't claims, so the policy for claims is left out.) Every vector is checked, including those of symmetric keys.
import { expect, inject, test } from "vitest";
import { createLocalJWKSet } from "jose";
import { readBearerToken, verifySignature } from "../../src/auth/access-token.ts";
import { readKeySet } from "../../src/auth/json-web-key-set.ts";
import { Failure } from "../../src/failure.ts";
import { SIGNATURE_ALGORITHMS } from "../../src/settings.ts";
import type { Vector, VectorFile } from "./vector-files.ts";

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

/** Whether the compact token gets by form, key and signature. */
async function accepts(jws: string, keys: readonly unknown[]): Promise<boolean> {
  try {
    const algorithm = /^[^.]+/.exec(jws)?.[0] ?? "";
    const { alg, kid } = readHeader(algorithm);
    const findKey = createLocalJWKSet(readKeySet(JSON.stringify({ keys }), SIGNATURE_ALGORITHMS));
    checkForm(jws);
    const token = { text: jws, algorithm: alg ?? "", keyId: kid };
    return SIGNATURE_ALGORITHMS.includes(token.algorithm) && (await verifySignature(token, findKey)) === "verified";
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

function readHeader(part: string): { alg?: string; kid?: string } {
  const bytes = Uint8Array.fromBase64(part, { alphabet: "base64url" });
  return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)) as { alg?: string };
}

const files = inject("vectors");
if (files === undefined) throw new Error("VECTORS=FOLDER is missing; CONTRIBUTING.md names the source of the files");

const keysOf = (set: object | undefined): readonly unknown[] =>
  set !== undefined && "keys" in set && Array.isArray(set.keys) ? set.keys : [set];

test.for(["signatures", "keys"] as const)("the vectors for %s", async (name) => {
  const file: VectorFile = files[name];
  const counts = { valid: 0, invalid: 0, accepted: 0, refused: 0, agree: 0, deviate: 0 };
  const ofPublicKeys = { vectors: 0, agree: 0 };
  const deviating: Vector[] = [];
  for (const group of file.testGroups) {
    const keys = keysOf(group.public ?? group.private);
    for (const vector of group.tests) {
      const isAccepted = await accepts(vector.jws, keys);
      const agrees = isAccepted === (vector.result === "valid");
      counts[vector.result] += 1;
      counts[isAccepted ? "accepted" : "refused"] += 1;
      counts[agrees ? "agree" : "deviate"] += 1;
      if (!agrees) deviating.push(vector);
      if (group.public !== undefined) {
        ofPublicKeys.vectors += 1;
        if (agrees) ofPublicKeys.agree += 1;
      }
    }
  }
  const causes = DEVIATIONS[name];
  const lines = deviating.map(({ tcId, comment, result }) => {
    const why = causes.find(({ ids }) => ids.includes(tcId))?.why ?? "NOT EXPLAINED";
    return `  ${tcId} ${comment} (labelled ${result}): ${why}`;
  });
  console.log(`${name}: ${JSON.stringify(counts)}, of public keys ${JSON.stringify(ofPublicKeys)}`);
  console.log(lines.join("\n"));
  expect(counts.valid + counts.invalid).toBe(file.numberOfTests);
  expect(deviating.map(({ tcId }) => tcId).toSorted((a, b) => a - b)).toEqual(
    causes.flatMap(({ ids }) => ids).toSorted((a, b) => a - b),
  );
});

test("an empty payload is all that is wrong with those: their signatures verify", async () => {
  const empty = DEVIATIONS.signatures[0]?.ids ?? [];
  for (const group of files.signatures.testGroups) {
    for (const { tcId, jws } of group.tests) {
      if (!empty.includes(tcId)) continue;
      const set = JSON.stringify({ keys: keysOf(group.public) });
      const keys = createLocalJWKSet(readKeySet(set, SIGNATURE_ALGORITHMS));
      const header = readHeader(jws.split(".")[0] ?? "");
      const token = { text: jws, algorithm: header?.alg ?? "", keyId: header?.kid };
      expect(await verifySignature(token, keys)).toBe("verified");
    }
  }
});
