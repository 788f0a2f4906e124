// An access token as the Worker will check it, by the Worker's own code and the issuer's published keys. The token isn't sent
// anywhere, and no finding contains it.
import { type JWK, createLocalJWKSet } from "jose";
import { inspectToken, readBearerToken, verifySignature } from "../../src/auth/access-token.ts";
import { Failure } from "../../src/failure.ts";
import type { Settings } from "../../src/settings.ts";
import { type Finding, bad, hint, ok } from "../checklist.ts";

export const NO_TOKEN = hint(
  "no token was checked, so JWT_AUDIENCE, SUBJECT_CLAIM and the scopes may be wrong",
  "Check an access token here, without sending it anywhere: npm run doctor -- --token TOKEN",
);

/** `keys` are the usable ones that the issuer publishes. */
export async function* checkToken(token: string, settings: Settings, keys: JWK[]): AsyncGenerator<Finding> {
  yield await judgeToken(token, settings, keys);
}

async function judgeToken(token: string, settings: Settings, keys: JWK[]): Promise<Finding> {
  const authorization = `Bearer ${token}`;
  try {
    const inspected = inspectToken(authorization, settings, Date.now() / 1000);
    const verdict = await verifySignature(inspected, createLocalJWKSet({ keys }));
    if (verdict !== "verified") {
      return bad(`the token's signature isn't by a key at JWKS_URL: ${verdict}`, "Is the token from this issuer?");
    }
    const { subject, rights } = inspected;
    const { ADMIN_SCOPE, REQUIRED_SCOPE } = settings;
    if (REQUIRED_SCOPE !== undefined && !rights.has(REQUIRED_SCOPE)) {
      const remedy = `RIGHTS_CLAIMS must name the claims with the scopes. Those found in the token: ${[...rights].join(" ")}`;
      return bad(`the token lacks ${REQUIRED_SCOPE}, which is REQUIRED_SCOPE`, remedy);
    }
    const readable = rights.has(ADMIN_SCOPE) ? "every run" : `the runs whose owner_id is ${subject}`;
    return ok(`the token can read ${readable}`);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return bad(`the Worker rejects the token: ${error.details.why ?? error.code}`, compare(authorization, settings));
  }
}

/** The claims that settings name, as they are in the token. */
function compare(authorization: string, settings: Settings): string {
  try {
    const { claims } = readBearerToken(authorization);
    const { JWT_ISSUER, JWT_AUDIENCE, AUDIENCE_CLAIM, SUBJECT_CLAIM } = settings;
    const show = (name: string) => `${name} is ${JSON.stringify(claims[name]) ?? "missing"}`;
    return `In the token, ${show("iss")}; JWT_ISSUER is ${JWT_ISSUER}
In the token, ${show(AUDIENCE_CLAIM)}; JWT_AUDIENCE is ${JWT_AUDIENCE.join(" ")}
In the token, ${show(SUBJECT_CLAIM)}; it expires at ${showTime(claims["exp"])}
docs/providers.md shows the settings of each issuer, docs/troubleshooting.md each reason.`;
  } catch {
    return "An access token of this API consists of three parts with dots between them. Opaque tokens can't be used.";
  }
}

function showTime(seconds: unknown): string {
  return typeof seconds === "number" && Math.abs(seconds) < 8e12 ? new Date(seconds * 1000).toISOString() : "no time";
}
