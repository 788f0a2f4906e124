// Where a credential may stand and what form it has (RFC 6750 §2.1). Form only: no key, no clock, no claim.
// A token in the query or in a body is no credential here (RFC 6750 §5.3: URLs end up in logs).

/** The longest tokens seen carry group lists and stay under 6 KB; common front ends refuse a header above 8 KB. */
export const MAX_TOKEN_LENGTH = 8_192;

// One part of a compact JWS: base64url without padding and with zero trailing bits (RFC 4648 §3.5), so that a token has
// exactly one spelling.
const PART = "(?:[\\w-]{4})*(?:[\\w-][AQgw]|[\\w-]{2}[AEIMQUYcgkosw048])?";
const COMPACT_JWS = new RegExp(`^(${PART})\\.(${PART})\\.(${PART})$`);

export interface CompactToken {
  text: string;
  header: string;
  payload: string;
}

/**
 * Reads the `Authorization` header. Two such headers reach a Worker as one value joined by a comma, which no token holds.
 * Gives `none` where no bearer token was sent, else the token's parts, or why it is malformed.
 */
export function readBearerToken(authorization: string | null): CompactToken | "none" | { malformed: string } {
  const text = /^bearer(?: +(.*))?$/i.exec(authorization ?? "")?.[1];
  if (text === undefined || text === "") return "none";
  if (text.length > MAX_TOKEN_LENGTH) return { malformed: `longer than ${MAX_TOKEN_LENGTH}` };
  const [, header, payload, signature] = COMPACT_JWS.exec(text) ?? [];
  if (!header || !payload || !signature) return { malformed: "not three base64url parts" };
  return { text, header, payload };
}
