// Shows the state of the form and of the response. All that could fail is done before the first element changes, so the panel never
// shows one half of one state and one half of another.
import { find } from "./elements.ts";
import type { Exchange } from "./exchange.ts";
import { type Form, describeRequest, writePrograms } from "./request.ts";
import { describeNextStep, describeResult, describeStatus, readProblem } from "./result.ts";
import { describeSession, readSession } from "./session.ts";

export interface State {
  form: Form;
  isIndented: boolean;
  exchange: Exchange;
  /** Where to log in; empty until it is known. */
  issuer: string;
  /** What is said of the log-in. */
  logIn: { text: string; isError: boolean };
}

/** Shows the state as it is at this moment: it is called at each change, and each second. */
export function render({ form, isIndented, exchange, issuer, logIn }: State): void {
  const request = describeRequest(form);
  const sent = exchange.kind === "idle" ? request : exchange.request;
  const isSending = exchange.kind === "sending";
  const isStale = !isSending && JSON.stringify(sent) !== JSON.stringify(request);
  const response = exchange.kind === "response" ? exchange : undefined;
  // While a request is under way, the response before it stays, dimmed, and what was said of it keeps its place, unseen, so that
  // nothing moves.
  const shown = isSending ? exchange.previous : response;
  const current = isStale ? undefined : response;
  const programs = writePrograms(request);
  const session = readSession(form.token, Date.now());
  const isUsable = session !== undefined && (session.secondsLeft ?? 1) > 0;
  const where = session === undefined && issuer !== "" ? `at ${new URL(issuer).host}` : "";
  const problem = current && readProblem(current);
  const etag = current?.headers.get("etag") ?? null;
  const nextStep = current === undefined ? "" : describeNextStep(current, performance.now());
  const result = describe(exchange);
  const headers = [...(shown?.headers ?? [])].map((header) => header.join(": ")).join("\n");

  for (const [label, program] of Object.entries(programs)) put(`#request [aria-label^="${label}, "] code`, program);
  put("#session", session === undefined ? "" : describeSession(session));
  put("#log-in", session === undefined ? "Log in" : isUsable ? "Switch" : "Log in again");
  find("#log-in").classList.toggle("main", !isUsable);
  find("#send").classList.toggle("main", isUsable);
  find("#log-out").hidden = session === undefined;
  put("#log-in-message", logIn.text || where);
  find("#log-in-message").classList.toggle("error", logIn.isError);
  find("#conditional").hidden = form.tag === "";

  const panel = find("#response");
  panel.dataset["state"] = exchange.kind;
  panel.classList.toggle("stale", isStale);
  panel.ariaBusy = String(isSending);
  put("#status", response === undefined ? "" : describeStatus(response.status));
  find("#status").className = `pill s${String(response?.status)[0]}`;
  put("#result", result);
  put("#progress", isSending ? `${Math.floor((performance.now() - exchange.sentMs) / 1_000)}\u00A0s` : "");
  find("#cancel").hidden = !isSending;
  if (!isSending) {
    put("#code", problem?.code ?? "");
    find<HTMLAnchorElement>("#code").href = `/docs/errors#${problem?.code}`;
    put("#advice", problem === undefined ? nextStep : `: ${problem.detail}. ${nextStep}`.trimEnd());
    find("#log-in-again").hidden = current?.status !== 401;
    put("#log-in-again", "Authorization" in sent.headers ? "Log in again" : "Log in");
    find("#again").hidden = isStale || exchange.kind === "idle" || current?.status === 401;
    // A request that has this tag already is sent again by the button before.
    find("#again-with-tag").hidden = etag === null || etag === sent.headers["If-None-Match"];
    find("#sent").hidden = !isStale || response === undefined;
    put("#sent-curl", writePrograms(sent)["curl"] ?? "");
  }
  find("#headers-part").hidden = shown === undefined;
  put("#headers-of-response", headers);
  find("#body-part").hidden = !shown?.text;
  put("#body", shown === undefined ? "" : shown.layouts[isIndented ? "indented" : "asSent"]);
}

/** Puts the content into the element unless it is there already: a change would be read out again. */
function put(selector: string, content: string | Node): void {
  const element = find(selector);
  if (typeof content !== "string") {
    if (element.firstChild !== content) element.replaceChildren(content);
  } else if (element.textContent !== content) element.textContent = content;
}

function describe(exchange: Exchange): string {
  if (exchange.kind === "response") return describeResult(exchange).join(" · ");
  if (exchange.kind === "failed") return exchange.reason;
  if (exchange.kind === "canceled") return "Canceled: there is no response.";
  if (exchange.kind === "idle") return "The response appears here.";
  return "Prefer" in exchange.request.headers ? "Waiting for the end of the run…" : "Sending…";
}
