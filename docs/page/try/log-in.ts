// Log-in by authorization code with PKCE. While the issuer's page is open, the session's storage holds the state, the PKCE verifier
// and the form's fields without the token; the return from the issuer removes them.
import * as oauth from "oauth4webapi";

export type Fields = Record<"client_id" | "scope" | "parameters" | "run_id", string>;

interface PendingLogIn {
  state: string;
  verifier: string;
  fields: Fields;
}

const STORAGE_KEY = "log-in";
export const REDIRECT_URI = `${location.origin}/docs`;
/** Plain http is for the local stack only. */
const OPTIONS = { [oauth.allowInsecureRequests]: /^(localhost|127\.0\.0\.1|\[::1\])$/.test(location.hostname) };

/** What this API says of its tokens (RFC 9728). */
export async function readResource(): Promise<{ resource: string; issuer: string; clientId: string; scope: string }> {
  const url = new URL(location.origin);
  const metadata = await oauth.processResourceDiscoveryResponse(
    url,
    await oauth.resourceDiscoveryRequest(url, OPTIONS),
  );
  const {
    authorization_servers: [issuer = ""] = [],
    docs_client_id: clientId = "",
    scopes_supported: scopes = [],
  } = metadata;
  return { resource: metadata.resource, issuer, clientId: String(clientId), scope: scopes.join(" ") };
}

/** The issuer's metadata: at RFC 8414's address, or else at OpenID Connect's. */
async function readIssuer(): Promise<oauth.AuthorizationServer> {
  const { issuer } = await readResource();
  const url = new URL(issuer);
  const read = async (algorithm: "oauth2" | "oidc") =>
    oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, { ...OPTIONS, algorithm }));
  return read("oauth2")
    .catch(() => read("oidc"))
    .catch(() => {
      throw new Error(`The metadata of ${issuer} can't be read from a browser. Get a token elsewhere and paste it.`);
    });
}

/** Leaves for the issuer's page. With `asAnother` the issuer is to ask for the user again. */
export async function leaveForIssuer(fields: Fields, asAnother: boolean): Promise<void> {
  const { authorization_endpoint: endpoint } = await readIssuer();
  if (endpoint === undefined) throw new Error("The issuer has no authorization endpoint. Paste a token instead.");
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
  const pending = sessionStorage.getItem(STORAGE_KEY);
  sessionStorage.removeItem(STORAGE_KEY);
  return pending === null ? undefined : (JSON.parse(pending) as PendingLogIn);
}

/** Swaps the code that the issuer sent back for a token. */
export async function redeem(returned: URLSearchParams, { state, verifier, fields }: PendingLogIn): Promise<string> {
  const server = await readIssuer();
  const client = { client_id: fields.client_id };
  const checked = oauth.validateAuthResponse(server, client, returned, state);
  const response = await oauth
    .authorizationCodeGrantRequest(server, client, oauth.None(), checked, REDIRECT_URI, verifier, {
      ...OPTIONS,
      additionalParameters: new URLSearchParams(fields.parameters),
    })
    .catch(() => {
      throw new Error(
        "The issuer's token endpoint can't be reached from a browser. Get a token elsewhere and paste it.",
      );
    });
  return (await oauth.processAuthorizationCodeResponse(server, client, response)).access_token;
}

export function explainLogIn(error: unknown): string {
  if (error instanceof oauth.AuthorizationResponseError || error instanceof oauth.ResponseBodyError) {
    return `The issuer refused: ${error.error_description ?? error.error}`;
  }
  return error instanceof Error ? error.message : String(error);
}
