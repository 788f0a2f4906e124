// The origin of a request's URL.

const PORT = "[1-9]\\d{0,3}|[1-5]\\d{4}|6[0-4]\\d{3}";
const OCTET = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
/** Names whose last label begins with a letter, none in Punycode; and IPv4 addresses. The URL parser leaves these as they are. */
const USUAL = new RegExp(
  `^(https?)://((?:(?!xn--)[a-z0-9-]+\\.)*(?!xn--)[a-z][a-z0-9-]*|${OCTET}(?:\\.${OCTET}){3})(?::(${PORT}))?(?=[/?#]|$)`,
  "i",
);

/**
 * As `URL.origin`; empty if the Host is unusable, or unsafe to quote in a header. A URL that follows is then a relative
 * reference. The pattern is for the usual hosts, because to parse a URL costs a third of a cached read.
 */
export function originOf(url: string): string {
  const [, scheme = "", host = "", port] = USUAL.exec(url) ?? [];
  if (host === "") {
    const origin = URL.parse(url)?.origin ?? "";
    return /["\\,\s]/.test(origin) ? "" : origin;
  }
  const isDefault = port === undefined || port === (scheme.toLowerCase() === "https" ? "443" : "80");
  return `${scheme}://${host}${isDefault ? "" : `:${port}`}`.toLowerCase();
}
