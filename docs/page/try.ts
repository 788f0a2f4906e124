// *Try it*: log in or paste an access token, read a run, see the response as it was sent. The token is in its field and nowhere
// else, and goes when the reader leaves the page.
import "./page.ts";
import { field, find, setField } from "./try/elements.ts";
import { createExchange } from "./try/exchange.ts";
import {
  type Fields,
  REDIRECT_URI,
  explainLogIn,
  leaveForIssuer,
  readResource,
  redeem,
  takePendingLogIn,
} from "./try/log-in.ts";
import { describeRequest } from "./try/request.ts";
import { describeSession, readSession } from "./try/session.ts";
import { markStale, showState } from "./try/view.ts";

const EXAMPLE_RUN_ID = "11111111-1111-4111-8111-111111111111";

const readForm = () =>
  describeRequest(
    { token: field("token").value, runId: field("run_id").value, waits: field("wait").checked },
    location.origin,
  );

const exchange = createExchange((state) => showState(state, readForm()));

function showForm(): void {
  const request = readForm();
  find("#curl").textContent = request.curl;
  markStale(request);
  showSession();
}

function showSession(): void {
  const session = readSession(field("token").value, Date.now());
  const isOver = (session?.secondsLeft ?? 1) <= 0;
  find("#session").textContent = session === undefined ? "" : describeSession(session);
  find("#log-in").textContent = session === undefined ? "Log in" : isOver ? "Log in again" : "Switch";
  find("#log-out").hidden = session === undefined;
}

const say = (text: string) => (find("#log-in-message").textContent = text);

async function logIn(): Promise<void> {
  const fields: Fields = { client_id: "", scope: "", parameters: "", run_id: "" };
  for (const name of Object.keys(fields) as (keyof Fields)[]) fields[name] = field(name).value;
  if (fields.client_id === "") {
    find<HTMLDetailsElement>("#log-in-settings").open = true;
    field("client_id").focus();
    say("This deployment names no client for this page. Enter one, or paste a token.");
    return;
  }
  say("On the way to the issuer…");
  await leaveForIssuer(fields, field("token").value !== "").catch((error: unknown) => say(explainLogIn(error)));
}

function forget(): void {
  setField("token", "");
  exchange.reset();
  say("");
}

/** Takes up a log-in that comes back from the issuer. */
async function finishLogIn(returned: URLSearchParams): Promise<void> {
  history.replaceState(null, "", "/docs#try-it");
  find("#try-it").scrollIntoView();
  const pending = takePendingLogIn();
  if (pending === undefined) {
    say("This log-in didn't begin here. Log in again.");
    return;
  }
  for (const [name, value] of Object.entries(pending.fields)) setField(name, value);
  say("One moment…");
  try {
    setField("token", await redeem(returned, pending));
    say("");
    find("#send").focus();
  } catch (error) {
    say(explainLogIn(error));
    find("#log-in").focus();
  }
}

async function start(): Promise<void> {
  const form = find<HTMLFormElement>("#try");
  const query = new URLSearchParams(location.search);
  for (const part of [form, find("#request"), find("#response")]) part.hidden = false;
  find("#no-script").hidden = true;
  find("#redirect-uri").textContent = REDIRECT_URI;
  setField("run_id", query.get("run_id") ?? EXAMPLE_RUN_ID);
  form.addEventListener("input", showForm);
  showForm();
  setInterval(showSession, 1_000);

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void exchange.send(readForm());
  });
  find("#cancel").addEventListener("click", () => {
    exchange.reset();
    find("#send").focus();
  });
  find("#log-out").addEventListener("click", () => {
    forget();
    find("#log-in").focus();
  });
  find("#log-in").addEventListener("click", logIn);
  find("#advice").addEventListener("click", ({ target }) => {
    if (target instanceof HTMLButtonElement) void logIn();
  });
  // The browser may keep the page as it is, and show it again by its back button.
  addEventListener("pagehide", forget);
  addEventListener("pageshow", ({ persisted }) => persisted && takePendingLogIn());

  const { resource, issuer, clientId, scope } = await readResource();
  say(`at ${new URL(issuer).host}`);
  setField("client_id", clientId);
  setField("scope", scope);
  setField("parameters", new URLSearchParams({ resource }).toString());
  if (query.has("state")) await finishLogIn(query);
  else takePendingLogIn();
}

await start().catch((error: unknown) => say(explainLogIn(error)));
