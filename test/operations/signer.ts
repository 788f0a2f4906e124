// An issuer that signs what a test wants: its key set and its tokens, for mistakes that an honest issuer does not make.
import { createServer } from "node:http";
import { SignJWT, exportJWK, generateKeyPair } from "jose";
import { listenOnLoopback } from "../../dev/loopback.ts";

export interface Signer {
  /** Settings of the Worker that trusts it. */
  variables: { JWT_ISSUER: string; JWT_AUDIENCE: string; JWKS_URL: string };
  /** A good token, but for the claims and header members that are given; `undefined` leaves one out. */
  sign(claims?: Record<string, unknown>, header?: Record<string, unknown>): Promise<string>;
  close(): Promise<void>;
}

const AUDIENCE = "https://api.example.com";

/** Starts the issuer of one subject's tokens. */
export async function startSigner(subject: string): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair("ES256");
  const keySet = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), alg: "ES256", kid: "current" }] });
  const { url, close } = await listenOnLoopback(createServer((_request, response) => void response.end(keySet)));
  return {
    variables: { JWT_ISSUER: url, JWT_AUDIENCE: AUDIENCE, JWKS_URL: `${url}/jwks` },
    sign(claims = {}, header = {}) {
      const nowSeconds = Math.floor(Date.now() / 1_000);
      const payload = { iss: url, aud: AUDIENCE, sub: subject, iat: nowSeconds, exp: nowSeconds + 600, ...claims };
      return new SignJWT(payload).setProtectedHeader({ alg: "ES256", kid: "current", ...header }).sign(privateKey);
    },
    close,
  };
}
