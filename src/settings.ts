// Every setting of the Worker, declared once: its name, its form, its bounds, its default.
// A value never appears in a message, because it may be a secret.
import * as z from "zod/mini";

/**
 * The signature algorithms that a token may have, in order of preference: asymmetric ones only (RFC 8725 §3.1, §3.2).
 * A shared secret would let every verifier forge tokens, and `none` means unsigned.
 */
export const SIGNATURE_ALGORITHMS: readonly string[] =
  "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519".split(" ");

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

const text = z.string("is required");
/** The characters of a scope (RFC 6749 §3.3): no space, quote or backslash, so that a header may quote it. */
const WORD = /^[\x21\x23-\x5b\x5d-\x7e]+$/;
const name = text.check(z.regex(WORD, "must be one word of printable ASCII"));

/** Values separated by spaces or commas. */
function listOf(fits: (value: string) => boolean, rule: string, minimum = 1) {
  const split = z.transform((value: string) => value.split(/[\s,]+/).filter(Boolean));
  return z.pipe(text, split).check(z.refine((values) => values.length >= minimum && values.every(fits), rule));
}

const isAlgorithm = (value: string) => SIGNATURE_ALGORITHMS.includes(value);
const algorithms = listOf(isAlgorithm, `must list some of ${SIGNATURE_ALGORITHMS.join(" ")}`);
const claims = listOf(() => true, "must list claims", 0);
const isOrigin = (value: string) => URL.parse(value)?.origin === value;
const origins = listOf(isOrigin, "must list exact origins such as https://app.example.com", 0);

const isTrue = z.transform((value: "true" | "false") => value === "true");
const flag = z.pipe(z.enum(["true", "false"], "must be true or false"), isTrue);

function whole(minimum: number, maximum: number) {
  const rule = `must be a whole number from ${minimum} to ${maximum}`;
  const fits = (value: string) => /^\d{1,9}$/.test(value) && Number(value) >= minimum && Number(value) <= maximum;
  return z.pipe(text.check(z.refine(fits, rule)), z.transform(Number));
}

const urlThat = (fits: (url: Partial<URL>) => boolean, rule: string) =>
  text.check(z.refine((value) => fits(URL.parse(value) ?? {}), rule));

/** https, or http to this machine: on a network, keys and queries that are sent in clear could be replaced. */
const secureUrl = urlThat(({ protocol, hostname = "", username, password }) => {
  const isSecure = protocol === "https:" || (protocol === "http:" && LOOPBACK.test(hostname));
  return isSecure && username === "" && password === "";
}, "must be an https URL without credentials (http only for a loopback host)");

const webUrl = urlThat(({ protocol = "" }) => /^https?:$/.test(protocol), "must be a URL");

const databaseUrl = urlThat(({ protocol = "", hostname, username, password, pathname = "" }) => {
  return /^postgres(ql)?:$/.test(protocol) && [hostname, username, password, pathname.slice(1)].every(Boolean);
}, "must be postgresql://user:password@host/database");

export const SettingsSchema = z.object({
  DATABASE_URL: databaseUrl,
  NEON_FETCH_ENDPOINT: z.optional(secureUrl),
  DATABASE_ATTEMPT_TIMEOUT_MS: z._default(whole(100, 9_000), 4_000),
  REQUEST_TIMEOUT_MS: z._default(whole(100, 9_500), 9_000),
  READY_CHECKS_DATABASE: z._default(flag, false),
  JWT_ISSUER: webUrl,
  JWT_AUDIENCE: listOf((value) => WORD.test(value), "must list one or more words of printable ASCII"),
  JWKS_URL: secureUrl,
  JWKS_MAX_STALE_SECONDS: z._default(whole(600, 86_400), 14_400),
  JWT_ALGORITHMS: z._default(algorithms, [...SIGNATURE_ALGORITHMS]),
  JWT_REQUIRE_AT_JWT: z._default(flag, false),
  JWT_LEEWAY_SECONDS: z._default(whole(0, 60), 10),
  AUDIENCE_CLAIM: z._default(name, "aud"),
  SUBJECT_CLAIM: z._default(name, "sub"),
  RIGHTS_CLAIMS: z._default(claims, ["scope", "scp", "permissions"]),
  ADMIN_SCOPE: z._default(name, "crew-runs:admin"),
  REQUIRED_SCOPE: z.optional(name),
  FINISHED_RUN_TTL_SECONDS: z._default(whole(0, 604_800), 3_600),
  MAX_WAIT_SECONDS: z._default(whole(0, 60), 30),
  CORS_ORIGINS: z._default(origins, []),
  LOG_SUBJECT: z._default(z.enum(["omit", "hash", "plain"], "must be omit, hash or plain"), "omit"),
  DOCS_CLIENT_ID: z.optional(name),
});

export type Settings = z.infer<typeof SettingsSchema>;

/**
 * Reads the settings from the Worker's environment. An empty value counts as absent.
 * Returns the settings, or a line per problem: the variable's name and the rule that it breaks.
 */
export function readSettings(environment: object) {
  // wrangler.toml may have numbers and booleans; the dashboard has text.
  const given = Object.keys(SettingsSchema.shape).map((name) => [name, String(Reflect.get(environment, name) ?? "")]);
  const parsed = z.safeParse(SettingsSchema, Object.fromEntries(given.filter(([, value]) => value !== "")));
  if (parsed.success) return { ok: true as const, settings: parsed.data };
  const problems = parsed.error.issues.map(({ path, message }) => `${String(path[0])} ${message}`);
  return { ok: false as const, problems };
}
