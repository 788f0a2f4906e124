// An issuer that signs what a test wants: its key set and its tokens, for mistakes that an honest issuer does not make.
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { SignJWT, exportJWK, generateKeyPair } from "jose";

export interface Signer {
  /** Settings of the Worker that trusts it. */
  variables: { JWT_ISSUER: string; JWT_AUDIENCE: string; JWKS_URL: string };
  /** A good token, but for what is given; `undefined` leaves a claim out. */
  sign(claims?: Record<string, unknown>, header?: Record<string, unknown>): Promise<string>;
  close(): Promise<void>;
}

const audience = "https://api.example.com";

/** @param subject whose tokens they are */
export async function startSigner(subject: string): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair("ES256");
  const body = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), alg: "ES256", kid: "current" }] });
  const server = createServer((_request, response) => void response.end(body)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    variables: { JWT_ISSUER: issuer, JWT_AUDIENCE: audience, JWKS_URL: `${issuer}/jwks` },
    sign(claims = {}, header = {}) {
      const nowSeconds = Math.floor(Date.now() / 1_000);
      const payload = { iss: issuer, aud: audience, sub: subject, iat: nowSeconds, exp: nowSeconds + 600, ...claims };
      return new SignJWT(payload).setProtectedHeader({ alg: "ES256", kid: "current", ...header }).sign(privateKey);
    },
    async close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
