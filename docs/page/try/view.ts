// Shows the state of the exchange: one line for the result, what to do next, headers and body. A response whose request is no
// longer the form's is dimmed, and has its own curl line beside it.
import { find } from "./elements.ts";
import type { Answered, State } from "./exchange.ts";
import { showJson } from "./json.ts";
import { type RunRequest, WAIT_SECONDS, isSameRequest } from "./request.ts";
import { describeNextStep, describeResult, describeStatus, readChallenge, readCode } from "./result.ts";

let state: State = { kind: "idle" };
let ticking: ReturnType<typeof setInterval> | undefined;

export function showState(next: State, form: RunRequest): void {
  state = next;
  find("#response").dataset["state"] = state.kind;
  find("#cancel").hidden = state.kind !== "sending";
  find("#content-of-response").hidden = state.kind !== "answered";
  find("#advice").replaceChildren();
  showProgress();
  if (state.kind === "idle") find("#result").textContent = "The response appears here.";
  if (state.kind === "sending") find("#result").textContent = "Sending…";
  if (state.kind === "failed") find("#result").textContent = state.reason;
  if (state.kind === "answered") showAnswered(state);
  find("#advice").hidden = find("#advice").childNodes.length === 0;
  markStale(form);
}

/** Dims the response if the form now describes another request. */
export function markStale(form: RunRequest): void {
  const isStale = state.kind !== "idle" && !isSameRequest(state.request, form);
  find("#response").classList.toggle("stale", isStale && state.kind !== "sending");
  find("#sent").hidden = !isStale;
  if (state.kind !== "idle") find("#sent-curl").textContent = state.request.curl;
}

/** Counts the seconds of a wait. */
function showProgress(): void {
  clearInterval(ticking);
  find("#progress").textContent = "";
  if (state.kind !== "sending" || !state.request.waits) return;
  const startedMs = performance.now();
  const tick = () => {
    const seconds = Math.min(Math.floor((performance.now() - startedMs) / 1_000), WAIT_SECONDS);
    find("#progress").textContent = `waiting ${seconds} of ${WAIT_SECONDS} s`;
  };
  tick();
  ticking = setInterval(tick, 250);
}

function showAnswered(answered: Answered): void {
  const { status, headers, text } = answered;
  const pill = document.createElement("code");
  pill.className = `pill s${String(status)[0]}`;
  pill.textContent = describeStatus(status);
  find("#result").replaceChildren(pill, ` · ${describeResult(answered).join(" · ")}`);
  find("#advice").append(...advise(answered));
  find("#headers-of-response").textContent = [...headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  const indent = find<HTMLInputElement>("#indent");
  const showBody = () => showJson(find("#body"), text, indent.checked);
  indent.onchange = showBody;
  showBody();
}

/** What an error means, in the words of its row on this page, or what to do next. */
function advise(answered: Answered): (string | HTMLElement)[] {
  const { status, headers, text, request } = answered;
  const code = status >= 400 ? readCode(text) : "";
  const known = document.querySelector<HTMLAnchorElement>(`td a[href$="#${code}"]`);
  if (code === "" || known === null) return [describeNextStep(answered)].filter(Boolean);
  const link = document.createElement("a");
  link.href = known.href;
  link.textContent = code;
  const meaning = known.closest("tr")?.lastElementChild?.textContent ?? "";
  if (status !== 401) return [link, `: ${meaning}. ${describeNextStep(answered)}`];
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "authorization" in request.headers ? "Log in again" : "Log in";
  return [link, `: ${readChallenge(headers)}. `, button];
}
