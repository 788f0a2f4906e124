// *Try it*: log in by authorization code with PKCE, or paste a token, then read a run and see the answer as it was sent.
// The token is in its field and nowhere else. While the issuer's page is open, the session's storage holds the state, the PKCE
// verifier and the form's other fields; the return from the issuer removes them.
import * as oauth from "oauth4webapi";
import "./page.ts";
import { showJson } from "./json.ts";

interface PendingLogIn {
  state: string;
  verifier: string;
  fields: Record<string, string>;
}

const STORAGE_KEY = "log-in";
const REMEMBERED_FIELDS = ["client_id", "scope", "parameters", "run_id"];
const REDIRECT_URI = `${location.origin}/docs`;
const EXAMPLE_RUN_ID = "11111111-1111-4111-8111-111111111111";
/** Plain http is for the local stack only. */
const OPTIONS = { [oauth.allowInsecureRequests]: /^(localhost|127\.0\.0\.1|\[::1\])$/.test(location.hostname) };

function find<T extends HTMLElement>(selector: string): T {
  const element = document.querySelector<T>(selector);
  if (element === null) throw new Error(`the page lacks ${selector}`);
  return element;
}

const field = (name: string): HTMLInputElement => find(`#try [name=${name}]`);

/** Takes a step of the form, and says beside its button how that went. */
async function take(step: () => Promise<string>, selector: string): Promise<void> {
  const message = find(selector);
  message.textContent = "One moment…";
  message.textContent = await step().catch(explain);
}

function explain(error: unknown): string {
  if (error instanceof oauth.AuthorizationResponseError || error instanceof oauth.ResponseBodyError) {
    return `The issuer refused: ${error.error_description ?? error.error}`;
  }
  return error instanceof Error ? error.message : String(error);
}

/** What this API says of its tokens (RFC 9728). */
async function readResource(): Promise<{ resource: string; issuer: string; clientId: string; scope: string }> {
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
  const ask = async (algorithm: "oauth2" | "oidc") =>
    oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, { ...OPTIONS, algorithm }));
  return ask("oauth2")
    .catch(() => ask("oidc"))
    .catch(() => {
      throw new Error(`The metadata of ${issuer} cannot be read from a browser. Get a token elsewhere and paste it.`);
    });
}

async function logIn(): Promise<string> {
  const clientId = field("client_id").value;
  if (clientId === "") {
    find<HTMLDetailsElement>("#log-in-settings").open = true;
    field("client_id").focus();
    return "This deployment names no client for this page. Enter one, or paste a token.";
  }
  const { authorization_endpoint: endpoint } = await readIssuer();
  if (endpoint === undefined) return "The issuer has no authorization endpoint. Get a token elsewhere and paste it.";
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const url = new URL(endpoint);
  const parameters = {
    client_id: clientId,
    redirect_uri: REDIRECT_URI,
    response_type: "code",
    ...(field("scope").value !== "" && { scope: field("scope").value }),
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    ...Object.fromEntries(new URLSearchParams(field("parameters").value)),
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  const fields = Object.fromEntries(REMEMBERED_FIELDS.map((name) => [name, field(name).value]));
  sessionStorage.setItem(STORAGE_KEY, JSON.stringify({ state, verifier, fields } satisfies PendingLogIn));
  location.assign(url);
  return "On the way to the issuer…";
}

/** Swaps the code that the issuer sent back for a token. */
async function finishLogIn(answer: URLSearchParams, { state, verifier, fields }: PendingLogIn): Promise<string> {
  for (const [name, value] of Object.entries(fields)) field(name).value = value;
  const server = await readIssuer();
  const client = { client_id: field("client_id").value };
  const checked = oauth.validateAuthResponse(server, client, answer, state);
  const response = await oauth
    .authorizationCodeGrantRequest(server, client, oauth.None(), checked, REDIRECT_URI, verifier, {
      ...OPTIONS,
      additionalParameters: new URLSearchParams(field("parameters").value),
    })
    .catch(() => {
      throw new Error(
        "The issuer's token endpoint cannot be reached from a browser. Get a token elsewhere and paste it.",
      );
    });
  const { access_token: token } = await oauth.processAuthorizationCodeResponse(server, client, response);
  field("token").value = token;
  field("token").dispatchEvent(new Event("input", { bubbles: true }));
  return `Logged in${readSubject(token)}.`;
}

/** Whom a JWT names, for the reader's eyes only. */
function readSubject(token: string): string {
  try {
    const claims = JSON.parse(atob(token.split(".")[1]?.replaceAll("-", "+").replaceAll("_", "/") ?? ""));
    return ` as ${claims.sub}`;
  } catch {
    return "";
  }
}

/** The request as the form has it: its path, its headers, and its curl line without the token. */
function describeRequest(): { path: string; headers: Record<string, string>; curl: string } {
  const path = `/api/crew-runs/${encodeURIComponent(field("run_id").value.trim()).replaceAll("'", "%27")}`;
  const token = field("token").value.trim();
  const waits = field("wait").checked;
  const words = [
    "curl -i",
    ...(token === "" ? [] : [`-H "Authorization: Bearer $TOKEN"`]),
    ...(waits ? [`-H 'Prefer: wait=30'`] : []),
  ];
  const curl = `${words.join(" ")} \\\n  '${location.origin}${path}'`;
  const headers = { ...(token !== "" && { authorization: `Bearer ${token}` }), ...(waits && { prefer: "wait=30" }) };
  return { path, headers, curl };
}

async function send(): Promise<string> {
  const { path, headers } = describeRequest();
  const startedMs = performance.now();
  // The answer of now: one that the browser kept has the headers of then.
  const response = await fetch(path, { cache: "no-store", headers });
  const text = await response.text();
  const milliseconds = Math.round(performance.now() - startedMs);
  find("#status").textContent = `${response.status} ${response.statusText}`;
  find("#status").className = response.ok ? "good" : "bad";
  find("#answer-headers").textContent = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  const show = () => showJson(find("#body"), text, find<HTMLInputElement>("#indent").checked);
  find("#indent").onchange = show;
  show();
  return `${response.status} after ${milliseconds} ms.`;
}

async function start(): Promise<void> {
  const form = find<HTMLFormElement>("#try");
  form.hidden = false;
  find("#no-script").hidden = true;
  field("run_id").value = EXAMPLE_RUN_ID;
  find("#redirect-uri").textContent = REDIRECT_URI;
  find("#answer").hidden = false;
  const showCurl = () => (find("#curl").textContent = describeRequest().curl);
  showCurl();
  form.addEventListener("input", showCurl);
  find("#log-in").addEventListener("click", () => take(logIn, "#log-in-message"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void take(send, "#message");
  });

  const answer = new URLSearchParams(location.search);
  const pending = sessionStorage.getItem(STORAGE_KEY);
  sessionStorage.removeItem(STORAGE_KEY);
  if (answer.has("state")) history.replaceState(null, "", "/docs#try-it");
  const { resource, issuer, clientId, scope } = await readResource();
  find("#log-in-message").textContent = `at ${new URL(issuer).host}`;
  field("client_id").value = clientId;
  field("scope").value = scope;
  field("parameters").value = new URLSearchParams({ resource }).toString();
  if (answer.has("state") && pending !== null) {
    find("#try-it").scrollIntoView();
    await take(() => finishLogIn(answer, JSON.parse(pending)), "#log-in-message");
  }
}

await start().catch((error: unknown) => (find("#log-in-message").textContent = explain(error)));
