// *Try it*: log in or paste an access token, read a run, see the response as it was sent. The token is in its field and nowhere
// else, and goes when the reader leaves the page; the run's id stays in the address.
import "./page.ts";
import { field, find, setField } from "./try/elements.ts";
import { fetchRun } from "./try/exchange.ts";
import * as issuers from "./try/log-in.ts";
import { type Form, describeRequest } from "./try/request.ts";
import { cleanToken } from "./try/session.ts";
import { type State, render } from "./try/view.ts";

const EXAMPLE_RUN_ID = "11111111-1111-4111-8111-111111111111";

let state: State = {
  form: { token: "", runId: EXAMPLE_RUN_ID, tag: "", isConditional: false, waits: false },
  isIndented: true,
  exchange: { kind: "idle" },
  issuer: "",
  logIn: { text: "", isError: false },
};
/** The request under way. */
let underWay: AbortController | undefined;
let resource: Promise<issuers.Resource> | undefined;

function update(change: Partial<State>): void {
  state = { ...state, ...change };
  render(state);
}

const say = (text: string) => update({ logIn: { text, isError: false } });

function complain(error: unknown): void {
  const { name, message } = error as Error;
  const text = name === "Error" ? message : `The log-in fails: ${message}. Get a token elsewhere and paste it.`;
  update({ logIn: { text, isError: true } });
}

function readForm(): Form {
  const token = cleanToken(field("token").value);
  if (token !== field("token").value) field("token").value = token;
  const { value: tag, checked: isConditional } = field("tag");
  return { token, runId: field("run_id").value, tag, isConditional, waits: field("wait").checked };
}

/** So that the address leads back to this run. */
function writeAddress(): void {
  history.replaceState(null, "", `/docs?${new URLSearchParams({ run_id: field("run_id").value })}#try-it`);
}

async function send(): Promise<void> {
  const { exchange } = state;
  const previous =
    exchange.kind === "sending" ? exchange.previous : exchange.kind === "response" ? exchange : undefined;
  const form = readForm();
  const request = describeRequest(form);
  underWay?.abort();
  const mine = (underWay = new AbortController());
  writeAddress();
  update({ form, exchange: { kind: "sending", request, sentMs: performance.now(), previous } });
  const panel = find("#response");
  if (panel.getBoundingClientRect().top > innerHeight / 2) panel.scrollIntoView();
  const ended = await fetchRun(request, mine.signal);
  // A later request has taken its place, or it was canceled.
  if (mine.signal.aborted) return;
  update({ exchange: ended });
  // Another run is read from its beginning.
  if (request.path !== previous?.request.path)
    for (const part of [panel, ...panel.querySelectorAll("pre")]) part.scrollTop = 0;
}

/** The button that was pressed may go, so the focus moves to the panel. */
function sendAgain(): void {
  find("#response").focus({ preventScroll: true });
  void send();
}

/** Reads what the API says of its tokens and fills the form's empty fields: once, and again after a failure. */
async function loadResource(): Promise<issuers.Resource> {
  resource ??= issuers.readResource().then((loaded) => {
    const { clientId: client_id, scope } = loaded;
    const defaults = { client_id, scope, parameters: `${new URLSearchParams({ resource: loaded.resource })}` };
    for (const [name, value] of Object.entries(defaults)) field(name).value ||= value;
    update({ issuer: loaded.issuer });
    return loaded;
  });
  resource.catch(() => (resource = undefined));
  return resource;
}

async function logIn(): Promise<void> {
  say("One moment…");
  const { issuer } = await loadResource();
  const [client_id = "", scope = "", parameters = "", run_id = ""] = issuers.FIELDS.map((name) => field(name).value);
  if (client_id === "") {
    find<HTMLDetailsElement>("#log-in-settings").open = true;
    field("client_id").focus();
    throw new Error("This deployment names no client for this page. Enter one, or paste a token.");
  }
  say(`On the way to ${new URL(issuer).host}…`);
  await issuers.leaveForIssuer(issuer, { client_id, scope, parameters, run_id }, state.form.token !== "");
}

/** To forget a tag, because it is that of another run or of a response that is gone, set it to "". */
function setTag(value: string): void {
  Object.assign(field("tag"), { value, checked: value !== "" });
}

function forget(): void {
  underWay?.abort();
  setTag("");
  update({ exchange: { kind: "idle" }, logIn: { text: "", isError: false } });
  setField("token", "");
}

/** Takes up a log-in that comes back from the issuer. */
async function finishLogIn(returned: URLSearchParams, pending: issuers.PendingLogIn | undefined): Promise<void> {
  writeAddress();
  // Nothing can be scrolled to or have the focus before the page is drawn.
  await new Promise(requestAnimationFrame);
  find("#try-it").scrollIntoView();
  find("#log-in").focus({ preventScroll: true });
  if (pending === undefined || pending.state !== returned.get("state"))
    throw new Error("This log-in didn't begin in this tab. Log in again.");
  say("One moment…");
  const { issuer } = await loadResource();
  for (const name of issuers.FIELDS) field(name).value = pending.fields[name];
  setField("token", await issuers.redeem(issuer, returned, pending));
  say("");
  find("#send").focus();
}

/** The local stack's issuer names the stack's runs; another local issuer names none. */
async function offerSeededRuns(): Promise<void> {
  const { seeded_runs: runs = [] } = await issuers.readIssuer(state.issuer);
  for (const [id, description] of runs) {
    const shape = { type: "button", className: "chip", textContent: description } as const;
    const chip = Object.assign(document.createElement("button"), shape);
    chip.addEventListener("click", () => {
      setField("run_id", id);
      writeAddress();
    });
    find("#seeded-runs").append(chip);
    find("#seeded-runs").hidden = false;
  }
}

function listen(): void {
  const on = (selector: string, type: string, act: () => unknown) =>
    find(selector).addEventListener(type, (event) => {
      if (type === "submit") event.preventDefault();
      void act();
    });
  on("#try", "input", () => update({ form: readForm() }));
  field("run_id").addEventListener("input", () => setTag(""));
  field("run_id").addEventListener("change", writeAddress);
  on("#request-form", "submit", send);
  on("#log-in-form", "submit", async () => logIn().catch(complain));
  on("#log-in-again", "click", async () => logIn().catch(complain));
  on("#log-out", "click", () => {
    forget();
    find("#log-in").focus();
  });
  on("#cancel", "click", () => {
    underWay?.abort();
    if (state.exchange.kind === "sending") update({ exchange: { ...state.exchange, kind: "canceled" } });
    find("#send").focus();
  });
  on("#again", "click", sendAgain);
  on("#again-with-tag", "click", () => {
    if (state.exchange.kind !== "response") return;
    setTag(state.exchange.headers.get("etag") ?? "");
    sendAgain();
  });
  on("#indent", "change", () => update({ isIndented: find<HTMLInputElement>("#indent").checked }));
  // The browser may keep the page as it is, and show it again by its back button.
  addEventListener("pagehide", forget);
  addEventListener("pageshow", ({ persisted }) => {
    if (persisted) issuers.takePendingLogIn();
    if (persisted) say("");
  });
  setInterval(() => render(state), 1_000);
}

async function start(): Promise<void> {
  const query = new URLSearchParams(location.search);
  const pending = issuers.takePendingLogIn();
  find("#no-script").hidden = true;
  for (const part of ["#try", "#request", "#response"]) find(part).hidden = false;
  find("#redirect-uri").textContent = issuers.REDIRECT_URI;
  listen();
  const isReturn = query.has("state");
  setField("run_id", (isReturn ? pending?.fields.run_id : query.get("run_id")) ?? EXAMPLE_RUN_ID);
  await (isReturn ? finishLogIn(query, pending) : loadResource()).catch(complain);
  if (issuers.isLocal) await offerSeededRuns().catch(() => {});
}

await start();
