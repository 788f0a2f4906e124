// *Try it*: log in or paste an access token, read a run, see the response as it was sent. The token is in its field and nowhere
// else, and goes when the reader leaves the page; the run's id stays in the address.
import "./page.ts";
import { field, find, setField } from "./try/elements.ts";
import { fetchRun } from "./try/exchange.ts";
import {
  type Fields,
  REDIRECT_URI,
  type Resource,
  isLocal,
  leaveForIssuer,
  readIssuer,
  readResource,
  redeem,
  takePendingLogIn,
} from "./try/log-in.ts";
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
let resource: Promise<Resource> | undefined;

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
  return {
    token,
    runId: field("run_id").value,
    tag: field("tag").value,
    isConditional: field("tag").checked,
    waits: field("wait").checked,
  };
}

/** So that the address leads back to this run. */
function writeAddress(): void {
  history.replaceState(null, "", `/docs?${new URLSearchParams({ run_id: field("run_id").value })}#try-it`);
}

async function send(): Promise<void> {
  const { exchange } = state;
  const previous =
    exchange.kind === "sending" ? exchange.previous : exchange.kind === "response" ? exchange : undefined;
  const request = describeRequest(state.form);
  underWay?.abort();
  const mine = (underWay = new AbortController());
  writeAddress();
  update({ exchange: { kind: "sending", request, sentMs: performance.now(), previous } });
  const panel = find("#response");
  if (panel.getBoundingClientRect().top > innerHeight / 2) panel.scrollIntoView();
  const ended = await fetchRun(request, mine.signal);
  // A later request has taken its place, or it was canceled.
  if (!mine.signal.aborted) update({ exchange: ended });
}

function cancel(): void {
  underWay?.abort();
  if (state.exchange.kind === "sending") update({ exchange: { kind: "canceled", request: state.exchange.request } });
}

/** The button that was pressed may go, so the focus moves to the panel. */
function sendAgain(): void {
  find("#response").focus({ preventScroll: true });
  void send();
}

/** Reads once what the API says of its tokens, and after a failure again. */
async function loadResource(): Promise<Resource> {
  resource ??= readResource();
  resource.catch(() => (resource = undefined));
  const loaded = await resource;
  const defaults = {
    client_id: loaded.clientId,
    scope: loaded.scope,
    parameters: new URLSearchParams({ resource: loaded.resource }).toString(),
  };
  for (const [name, value] of Object.entries(defaults)) if (field(name).value === "") field(name).value = value;
  update({ issuer: loaded.issuer });
  return loaded;
}

async function logIn(): Promise<void> {
  say("One moment…");
  const { issuer } = await loadResource();
  const fields: Fields = { client_id: "", scope: "", parameters: "", run_id: "" };
  for (const name of Object.keys(fields) as (keyof Fields)[]) fields[name] = field(name).value;
  if (fields.client_id === "") {
    find<HTMLDetailsElement>("#log-in-settings").open = true;
    field("client_id").focus();
    throw new Error("This deployment names no client for this page. Enter one, or paste a token.");
  }
  say(`On the way to ${new URL(issuer).host}…`);
  await leaveForIssuer(issuer, fields, state.form.token !== "");
}

function forget(): void {
  underWay?.abort();
  update({ exchange: { kind: "idle" }, logIn: { text: "", isError: false } });
  setField("token", "");
}

/** Takes up a log-in that comes back from the issuer. */
async function finishLogIn(returned: URLSearchParams): Promise<void> {
  const pending = takePendingLogIn();
  for (const [name, value] of Object.entries(pending?.fields ?? {})) setField(name, value);
  writeAddress();
  // Nothing can be scrolled to or have the focus before the page is drawn.
  await new Promise(requestAnimationFrame);
  find("#try-it").scrollIntoView();
  find("#log-in").focus({ preventScroll: true });
  if (pending?.state !== returned.get("state") || pending === undefined)
    throw new Error("This log-in didn't begin in this tab. Log in again.");
  say("One moment…");
  const { issuer } = await loadResource();
  setField("token", await redeem(issuer, returned, pending));
  say("");
  find("#send").focus();
}

/** The local issuer names the runs that the local stack has. */
async function offerSeededRuns(): Promise<void> {
  const { issuer } = await loadResource();
  const { seeded_runs: runs = [] } = await readIssuer(issuer);
  const chips = runs.map(([id, description]) => {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.className = "chip";
    chip.textContent = description;
    chip.addEventListener("click", () => {
      setField("run_id", id);
      writeAddress();
    });
    return chip;
  });
  find("#seeded-runs").append(...chips);
  find("#seeded-runs").hidden = chips.length === 0;
}

function listen(): void {
  const onClick = (selector: string, act: () => unknown) => find(selector).addEventListener("click", () => void act());
  find("#try").addEventListener("input", () => update({ form: readForm() }));
  field("run_id").addEventListener("input", () => {
    // The tag belongs to another run.
    Object.assign(field("tag"), { value: "", checked: false });
  });
  field("run_id").addEventListener("change", writeAddress);
  find("#request-form").addEventListener("submit", (event) => {
    event.preventDefault();
    void send();
  });
  find("#log-in-form").addEventListener("submit", (event) => {
    event.preventDefault();
    logIn().catch(complain);
  });
  onClick("#log-in-again", async () => logIn().catch(complain));
  onClick("#log-out", () => {
    forget();
    find("#log-in").focus();
  });
  onClick("#cancel", () => {
    cancel();
    find("#send").focus();
  });
  onClick("#again", sendAgain);
  onClick("#again-with-tag", () => {
    if (state.exchange.kind !== "response") return;
    field("tag").checked = true;
    setField("tag", state.exchange.headers.get("etag") ?? "");
    sendAgain();
  });
  find("#indent").addEventListener("change", () => update({ isIndented: find<HTMLInputElement>("#indent").checked }));
  // The browser may keep the page as it is, and show it again by its back button.
  addEventListener("pagehide", forget);
  addEventListener("pageshow", ({ persisted }) => {
    if (!persisted) return;
    takePendingLogIn();
    say("");
  });
  setInterval(() => render(state), 1_000);
}

async function start(): Promise<void> {
  const query = new URLSearchParams(location.search);
  find("#no-script").hidden = true;
  for (const part of ["#try", "#request", "#response"]) find(part).hidden = false;
  find("#redirect-uri").textContent = REDIRECT_URI;
  listen();
  setField("run_id", query.get("run_id") ?? EXAMPLE_RUN_ID);
  if (query.has("state")) await finishLogIn(query);
  else {
    takePendingLogIn();
    await loadResource();
  }
  // Another local issuer has no such runs.
  if (isLocal) await offerSeededRuns().catch(() => {});
}

await start().catch(complain);
