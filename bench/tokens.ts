// Access tokens as RFC 9068 shapes them, and the key set that goes with them. Keys live as long as the benchmark.

import { randomUUID } from "node:crypto";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { ownerId } from "./runs.ts";

export const issuer = "https://issuer.example.com";

export type Algorithm = "RS256" | "ES256";

export type Issuer = {
  /** The key set's JSON text. */
  keySet: string;
  /** An owner's token for `audience`, good for an hour, unlike every other. */
  mint(algorithm: Algorithm, audience: string): Promise<string>;
};

export async function startIssuer(): Promise<Issuer> {
  const algorithms: Algorithm[] = ["RS256", "ES256"];
  const pairs = await Promise.all(
    algorithms.map(async (alg) => ({ alg, ...(await generateKeyPair(alg, { extractable: true })) })),
  );
  const keys = await Promise.all(
    pairs.map(async ({ alg, publicKey }) => ({
      ...(await exportJWK(publicKey)),
      alg,
      kid: `bench-${alg}`,
      use: "sig",
    })),
  );
  return {
    keySet: JSON.stringify({ keys }),
    async mint(algorithm, audience) {
      const pair = pairs.find(({ alg }) => alg === algorithm);
      if (pair === undefined) throw new Error(`no key for ${algorithm}`);
      return new SignJWT({
        scope: "openid profile email crew-runs:read",
        client_id: "s6BhdRkqt3s6BhdRkqt3",
      })
        .setProtectedHeader({ alg: algorithm, kid: `bench-${algorithm}`, typ: "at+jwt" })
        .setIssuer(issuer)
        .setAudience(audience)
        .setSubject(ownerId)
        .setIssuedAt()
        .setExpirationTime("1h")
        .setJti(randomUUID())
        .sign(pair.privateKey);
    },
  };
}
