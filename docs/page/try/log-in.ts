// Log-in by authorization code with PKCE. While the issuer's page is open, the session's storage holds the state, the PKCE verifier
// and the form's fields without the token; the return from the issuer removes them. Every Error has a sentence for the reader.
import type { AuthorizationServer } from "oauth4webapi";

/** What of the form outlives the issuer's page. */
export const FIELDS = ["client_id", "scope", "parameters", "run_id"] as const;
type Fields = Record<(typeof FIELDS)[number], string>;

/** What this API says of its tokens (RFC 9728). */
export interface Resource {
  resource: string;
  issuer: string;
  clientId: string;
  scope: string;
}

export interface PendingLogIn {
  state: string;
  verifier: string;
  fields: Fields;
}

type IssuerMetadata = AuthorizationServer & { seeded_runs?: [id: string, description: string][] };

const STORAGE_KEY = "log-in";
const PASTE = "Get a token elsewhere and paste it.";
export const REDIRECT_URI = `${location.origin}/docs`;
export const isLocal = /^(localhost|127\.0\.0\.1|\[::1\])$/.test(location.hostname);

const loadProtocol = async () => import("./protocol.ts");

export async function readResource(): Promise<Resource> {
  const response = await fetch("/.well-known/oauth-protected-resource").catch(() => {
    throw new Error(
      "The API doesn't respond, so this page can't tell where to log in. Check the network, then reload.",
    );
  });
  if (!response.ok)
    throw new Error(`The API doesn't tell where to log in: it responds ${response.status}. Ask whoever runs it.`);
  const metadata = (await response.json()) as Record<string, unknown>;
  const [issuer = ""] = metadata["authorization_servers"] as string[];
  const { docs_client_id: clientId = "", scopes_supported: scopes = [] } = metadata;
  const scope = (scopes as string[]).join(" ");
  return { resource: String(metadata["resource"]), issuer, clientId: String(clientId), scope };
}

/** The issuer's metadata: at RFC 8414's address, or else at OpenID Connect's. */
export async function readIssuer(issuer: string): Promise<IssuerMetadata> {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, "");
  const read = async (address: string): Promise<IssuerMetadata> => {
    const response = await fetch(origin + address).catch(() => explainSilence(issuer, origin + address));
    if (!response.ok) throw new Error(`${issuer} has no metadata: it responds ${response.status}. ${PASTE}`);
    const metadata = (await response.json()) as IssuerMetadata;
    if (metadata.issuer === issuer) return metadata;
    throw new Error(`The metadata of ${issuer} names another issuer, or none. ${PASTE}`);
  };
  return read(`/.well-known/oauth-authorization-server${path}`).catch(async () =>
    read(`${path}/.well-known/openid-configuration`),
  );
}

/** Throws what is true of a fetch that failed: there is no response, or pages may not read it. */
async function explainSilence(issuer: string, address: string): Promise<never> {
  const isUp = await fetch(address, { mode: "no-cors" }).then(
    () => true,
    () => false,
  );
  if (isUp) throw new Error(`${issuer} doesn't let web pages read its responses (CORS). ${PASTE}`);
  throw new Error(`${issuer} doesn't respond. Log in again later, or paste a token.`);
}

/** Leaves for the issuer's page. With `asAnother` the issuer is to ask for the user again. */
export async function leaveForIssuer(issuer: string, fields: Fields, asAnother: boolean): Promise<void> {
  const { authorization_endpoint: endpoint } = await readIssuer(issuer);
  if (endpoint === undefined) throw new Error(`${issuer} has no authorization endpoint. ${PASTE}`);
  const oauth = await loadProtocol();
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const url = new URL(endpoint);
  const parameters = {
    client_id: fields.client_id,
    redirect_uri: REDIRECT_URI,
    response_type: "code",
    ...(fields.scope !== "" && { scope: fields.scope }),
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    ...(asAnother && { prompt: "login" }),
    ...Object.fromEntries(new URLSearchParams(fields.parameters)),
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  sessionStorage.setItem(STORAGE_KEY, JSON.stringify({ state, verifier, fields } satisfies PendingLogIn));
  location.assign(url);
}

/** The log-in that this tab began, if there is one: it can be taken up only once. */
export function takePendingLogIn(): PendingLogIn | undefined {
  try {
    const pending = sessionStorage.getItem(STORAGE_KEY);
    sessionStorage.removeItem(STORAGE_KEY);
    return pending === null ? undefined : (JSON.parse(pending) as PendingLogIn);
  } catch {
    // A browser may forbid the storage.
    return undefined;
  }
}

/** Swaps the code that the issuer sent back for a token. */
export async function redeem(issuer: string, returned: URLSearchParams, pending: PendingLogIn): Promise<string> {
  const { state, verifier, fields } = pending;
  const server = await readIssuer(issuer);
  const oauth = await loadProtocol();
  const client = { client_id: fields.client_id };
  const options = {
    // Plain http is for the local stack only.
    [oauth.allowInsecureRequests]: isLocal,
    additionalParameters: new URLSearchParams(fields.parameters),
  };
  try {
    const checked = oauth.validateAuthResponse(server, client, returned, state);
    const response = await oauth
      .authorizationCodeGrantRequest(server, client, oauth.None(), checked, REDIRECT_URI, verifier, options)
      .catch(() => explainSilence(issuer, server.token_endpoint ?? issuer));
    return (await oauth.processAuthorizationCodeResponse(server, client, response)).access_token;
  } catch (cause) {
    let reason = "";
    if (cause instanceof oauth.AuthorizationResponseError || cause instanceof oauth.ResponseBodyError)
      reason = `${issuer} refuses: ${cause.error_description ?? cause.error}.`;
    if (cause instanceof oauth.OperationProcessingError)
      reason = `The response of ${issuer} can't be used: ${cause.message}.`;
    throw reason === "" ? cause : new Error(`${reason} Log in again, or paste a token.`, { cause });
  }
}
