// *Try it* in Chromium, against the local stack: what it shows is so, whatever the reader, the network or the issuer does.
import { execFile } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { Page, Route } from "playwright-core";
import { describe, expect, test } from "vitest";
import { EXAMPLE_ROWS, SEEDED_RUNS } from "../../../dev/seeded-runs.ts";
import type { RunResponse } from "../../../docs/page/try/exchange.ts";
import { describeNextStep, describeResult } from "../../../docs/page/try/result.ts";
import { cleanToken, describeSession, readSession } from "../../../docs/page/try/session.ts";
import { FINISH, insertRunBy, updateRunBy } from "../../support/runs.ts";
import { NARROW, findViolations, provideSite } from "./site.ts";

const OWN = EXAMPLE_ROWS.completed.id;
const FOREIGN = SEEDED_RUNS.find(({ ownerId }) => ownerId === "stranger")?.id ?? "";
const EXACT = "77777777-7777-4777-8777-777777777777";
const FINISHED = { status: "completed", completed_at: "2036-01-01T00:00:00Z" } as const;
const PATIENCE = { timeout: 15_000 };

const execute = promisify(execFile);
const site = provideSite();

const fetchToken = async (user: "owner" | "stranger" | "admin") => site.stack.authorizationServer.fetchToken(user);
const panel = (page: Page) => page.locator("#response");
const body = (page: Page) => page.locator("#body");
const session = (page: Page) => page.locator("#session");
const advice = (page: Page) => page.locator("#advice");
const program = (page: Page) => page.locator("#request pre:visible");
const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });
const waitBox = (page: Page) => page.getByRole("checkbox", { name: /^Wait/ });
const runField = (page: Page) => page.getByLabel("Run id");
const tokenField = (page: Page) => page.getByRole("textbox", { name: "Access token" });
const abort = (route: Route) => route.abort();
const focused = (page: Page) => page.evaluate(() => document.activeElement?.id);

async function logIn(page: Page, user: string): Promise<void> {
  await page.locator("#log-in").click();
  await button(page, user).click();
  await session(page).getByText(user).waitFor();
}

/** Waits for the end of the exchange, and gives its line: the status if there is a response, and what is known of it. */
async function readResult(page: Page): Promise<string> {
  await page.locator("#response:not([data-state=idle], [data-state=sending])").waitFor();
  return (await page.locator(".result").innerText()).replaceAll(/\s+/g, " ").trim();
}

/** Sends the form, with another run id if there is one. */
async function send(page: Page, id?: string): Promise<string> {
  if (id !== undefined) await runField(page).fill(id);
  await button(page, "Send").click();
  return readResult(page);
}

/** Opens the page with the owner's token in its field. */
async function visitAsOwner(use: (page: Page) => Promise<void>, options: object = {}): Promise<void> {
  const prepare = async (page: Page) => {
    await tokenField(page).fill(await fetchToken("owner"));
    await use(page);
  };
  await site.visit("/docs#try-it", prepare, options);
}

async function expectAccessible(page: Page, state: string): Promise<void> {
  expect(await findViolations(page), state).toEqual([]);
}

describe("a log-in", () => {
  test("lets owner and stranger read their own run, and an admin both; then the page can forget the token", async () => {
    const use = async (page: Page) => {
      await page.getByText(`at ${new URL(site.stack.authorizationServer.issuer).host}`).waitFor();
      // Most readers never log in, so what only a log-in needs isn't there yet.
      const loaded = await page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => name));
      expect(loaded.filter((name) => name.endsWith(".js"))).toHaveLength(1);
      await page.locator("#log-in-settings summary").click();
      // The issuer grants it to the admin only, whoever asks for it.
      await page.getByLabel("Scope").fill("crew-runs:admin");
      await logIn(page, "owner");
      expect(await page.evaluate(() => sessionStorage.length + localStorage.length + document.cookie.length)).toBe(0);
      expect(page.url()).toBe(`${site.stack.url}/docs?run_id=${FOREIGN}#try-it`);
      expect(await session(page).textContent()).toMatch(/^owner · expires in (5\d:\d\d|1:00:00)$/);
      expect(await focused(page)).toBe("send");
      await page.keyboard.press("Enter");
      expect(await readResult(page)).toMatch(/^404 Not Found/);
      expect(await body(page).innerText()).toMatch(/"code": "run_not_found"/);
      expect(await send(page, OWN)).toMatch(/^200 OK/);
      await logIn(page, "stranger");
      expect(await send(page, OWN)).toMatch(/^404/);
      expect(await send(page, FOREIGN)).toMatch(/^200/);
      await logIn(page, "admin");
      expect(await send(page, FOREIGN)).toMatch(/^200/);
      expect(await send(page, OWN)).toMatch(/^200/);
      await button(page, "Log out").click();
      expect([await tokenField(page).inputValue(), await session(page).textContent()]).toEqual(["", ""]);
      expect(await focused(page)).toBe("log-in");
      await tokenField(page).fill(await fetchToken("owner"));
      await page.reload();
      expect([await tokenField(page).inputValue(), await runField(page).inputValue()]).toEqual(["", OWN]);
    };
    await site.visit(`/docs?run_id=${FOREIGN}`, use, { expectedMessages: /status of 404/ });
  });

  test("sends the parameters that the reader left in the settings, and no others; a switch asks for the user", async () => {
    await visitAsOwner(async (page) => {
      await page.locator("#log-in-settings summary").click();
      await expect.poll(() => page.getByLabel("More parameters").inputValue(), PATIENCE).toMatch(/^resource=http/);
      await page.getByLabel("More parameters").fill("ui_locales=cs");
      await page.getByLabel("Scope").fill("");
      const leaving = page.waitForRequest((request) => request.isNavigationRequest());
      await page.locator("#log-in").click();
      const sent = new URL((await leaving).url()).searchParams;
      // A page in the middle of a navigation may not close.
      await button(page, "owner").waitFor();
      expect([...sent.keys()].toSorted()).toEqual(
        "client_id code_challenge code_challenge_method prompt redirect_uri response_type state ui_locales".split(" "),
      );
    });
  });

  test("that didn't begin here gives no token", async () => {
    await site.visit("/docs?code=x&state=y", async (page) => {
      await page.getByText("This log-in didn't begin in this tab.").waitFor();
      expect(page.url()).not.toContain("code=");
      expect(await tokenField(page).inputValue()).toBe("");
    });
  });

  const API = /oauth-protected-resource/;
  const ISSUER = /oauth-authorization-server|openid-configuration/;
  const LOG_IN = /\/auth\?/;

  const respond = (status: number, allowedOrigin: string) => (route: Route) =>
    route.fulfill({ status, headers: { "access-control-allow-origin": allowedOrigin }, json: {} });
  const comeBack = (parameters: object) => (route: Route) => {
    const { searchParams: sent } = new URL(route.request().url());
    const { issuer: iss } = site.stack.authorizationServer;
    const back = new URLSearchParams({ state: sent.get("state") ?? "", iss, ...parameters });
    return route.fulfill({ status: 303, headers: { location: `${sent.get("redirect_uri")}?${back}` } });
  };

  test.each<[fault: string, at: RegExp, fail: (route: Route) => Promise<void>, message: RegExp]>([
    ["the API doesn't respond", API, abort, /^The API doesn't respond, .* Check the network/],
    ["the API fails", API, respond(500, "*"), /it responds 500\. Ask whoever runs it/],
    ["the issuer is down", ISSUER, abort, / doesn't respond\. Log in again later, or paste a token/],
    ["the issuer has no metadata", ISSUER, respond(404, "*"), /it responds 404\. Get a token elsewhere/],
    ["the issuer forbids pages", ISSUER, respond(200, "https://x"), /\(CORS\)\. Get a token elsewhere/],
    ["the issuer refuses", LOG_IN, comeBack({ error: "access_denied" }), /refuses: access_denied\. Log in/],
    ["the state is another", LOG_IN, comeBack({ code: "x", state: "y" }), /didn't begin in this tab\. Log in/],
  ])("that fails because %s says why and what to do, and can be repeated", async (_, at, fail, message) => {
    const use = async (page: Page) => {
      await page.route(at, fail);
      await page.reload();
      await page.locator("#log-in").click();
      await expect.poll(() => page.locator("#log-in-message").textContent(), PATIENCE).toMatch(message);
      expect(await tokenField(page).inputValue()).toBe("");
      // The second one waits for a slow response.
      await page.route(at, (route) => sleep(300).then(() => route.continue()));
      await page.locator("#log-in").click();
      await button(page, "owner").waitFor();
    };
    await site.visit("/docs", use, { expectedMessages: /net::ERR_|status of [45]0\d|blocked by CORS policy/ });
  });

  test("needs a client id, which the reader can enter if the deployment names none", async () => {
    await site.visit("/docs", async (page) => {
      await page.route(API, async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, json: { ...(await response.json()), docs_client_id: undefined } });
      });
      await page.reload();
      await page.locator("#log-in").click();
      await page.getByText("This deployment names no client for this page. Enter one, or paste a token.").waitFor();
      await page.getByLabel("Client id").fill("browser");
      await page.keyboard.press("Enter");
      await button(page, "owner").waitFor();
    });
  });
});

describe("a token", () => {
  test.each(["Bearer a.b.c", `"a.b.c"`, ` 'bearer a.b.c'\n`, "Authorization: Bearer a.b.c"])(
    "may be pasted as %j",
    (pasted) => expect(cleanToken(pasted)).toBe("a.b.c"),
  );

  test.each([
    [{ sub: "owner", exp: 1_133 }, "owner · expires in 2:13"],
    [{ sub: "žofie", exp: 4_733 }, "žofie · expires in 1:02:13"],
    [{ sub: "owner", exp: 999 }, "owner · expired"],
    [{}, "A token without a subject"],
    [undefined, "Not a JSON Web Token"],
  ])("with the claims %j is described as %s", (claims, description) => {
    const payload = Buffer.from(JSON.stringify(claims) ?? "").toString("base64url");
    expect(describeSession(readSession(`e30.${payload}.sig`, 1_000_000) ?? { name: "" })).toBe(description);
  });

  test("can be copied, and is in no other place on the page", async () => {
    const use = async (page: Page) => {
      await send(page, OWN);
      const token = await tokenField(page).inputValue();
      expect(await page.content()).not.toContain(token);
      await button(page, "Copy: the token").click();
      await button(page, "Copied").waitFor();
      expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(token);
    };
    await visitAsOwner(use, { permissions: ["clipboard-read", "clipboard-write"] });
  });

  test("goes with the reader, also from a page that the browser keeps for its back button", async () => {
    await visitAsOwner(async (page) => {
      await page.evaluate(() => {
        addEventListener("pageshow", ({ persisted }) => (document.title = `shown again: ${persisted}`));
      });
      await send(page, OWN);
      await page.goto(`${site.stack.url}/health`);
      await page.goBack({ waitUntil: "commit" });
      await expect.poll(() => page.title(), PATIENCE).toBe("shown again: true");
      expect([await tokenField(page).inputValue(), await session(page).textContent()]).toEqual(["", ""]);
      expect(await panel(page).getAttribute("data-state")).toBe("idle");
      expect(await body(page).textContent()).toBe("");
      // Back from the issuer, no log-in is under way any more.
      await page.locator("#log-in").click();
      await button(page, "owner").waitFor();
      await page.goBack({ waitUntil: "commit" });
      await expect.poll(() => page.locator("#log-in-message").textContent(), PATIENCE).not.toContain("On the way");
      expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
    });
  });
});

describe("a request", () => {
  test("is shown as a program in the chosen language, and each program works", async () => {
    await visitAsOwner(async (page) => {
      const env = { ...process.env, TOKEN: await fetchToken("owner") };
      const choose = (label: string) => page.locator("#request label", { hasText: label }).click();
      const run = async (label: string, command: string, flag: string) => {
        await choose(label);
        return (await execute(command, [flag, await program(page).innerText()], { env })).stdout;
      };
      expect(await run("curl", "sh", "-c")).toMatch(new RegExp(`^HTTP/1.1 200 OK[^]*\\{"id":"${OWN}"`));
      expect(await run("JavaScript", process.execPath, "--eval")).toMatch(`200 {"id":"${OWN}"`);
      expect(await run("Python", "python3", "-c")).toMatch(`200 {"id":"${OWN}"`);
      await waitBox(page).check();
      for (const label of ["curl", "JavaScript", "Python", "Go"]) {
        await choose(label);
        expect(await program(page).innerText(), label).toMatch(/Authorization.*TOKEN[^]*Prefer.*wait=30/);
      }
    });
  });

  test("may be for any of the local stack's runs, whose id is then in the address", async () => {
    await site.visit("/docs", async (page) => {
      for (const { id, description } of SEEDED_RUNS) {
        await button(page, description).click();
        expect([await runField(page).inputValue(), page.url()]).toEqual([id, expect.stringContaining(id)]);
      }
    });
  });

  test("for an unfinished run can wait, be replaced or canceled, and ends with the run", async () => {
    const id = await insertRunBy(site.stack.database, { created_at: new Date(Date.now() - 600_000).toISOString() });
    await visitAsOwner(async (page) => {
      const sendAndWait = async () => {
        await runField(page).fill(id);
        await waitBox(page).check();
        await button(page, "Send").click();
        await expect.poll(() => page.locator("#progress").textContent(), PATIENCE).toMatch(/^[1-9]\d*\ss$/);
      };
      await send(page, id);
      const readSeconds = async () =>
        Number(/send again in (\d+)\ss/.exec((await advice(page).textContent()) ?? "")?.[1]);
      const seconds = await readSeconds();
      await expect.poll(readSeconds, PATIENCE).toBeLessThan(seconds);

      await sendAndWait();
      await waitBox(page).uncheck();
      const aborted = page.waitForEvent("requestfailed");
      expect(await send(page, OWN)).toMatch(/^200/);
      expect((await aborted).url()).toContain(id);
      expect(await body(page).innerText()).toContain(OWN);

      await sendAndWait();
      await button(page, "Cancel").click();
      expect(await readResult(page)).toMatch(/^Canceled/);
      expect(await focused(page)).toBe("send");

      await sendAndWait();
      await updateRunBy(site.stack.database, id, FINISH);
      expect(await readResult(page)).toMatch(/^200/);
      expect(await body(page).innerText()).toContain(`"status": "completed"`);
      expect(await advice(page).textContent()).toBe("");
    });
  });
});

describe("a response", () => {
  test("is described by its source, its size and what to do next", () => {
    const respond = (headers: Record<string, string>): RunResponse => ({
      kind: "response",
      request: { path: "", headers: { Prefer: "wait=30" } },
      status: 200,
      headers: new Headers(headers),
      text: "",
      layouts: {} as RunResponse["layouts"],
      bytes: 7_000_300,
      milliseconds: 3,
      receivedMs: 0,
    });
    const copy = respond({ "cache-status": "crew-runs; hit; detail=data-center" });
    expect(describeResult(copy)).toEqual(["3\u00A0ms", "7.0\u00A0MB", "cached in this data center"]);
    const waited = respond({ "retry-after": "0", "preference-applied": "wait=3" });
    expect(describeNextStep(waited, 0)).toBe("Not finished after a wait of 3\u00A0s: send again now.");
  });

  test("has each digit as it was sent, indented or not, also if it's a large one after another, and is in view", async () => {
    const numbers = `{"numbers":[${"1,".repeat(160_000)}1]}`;
    const large = await insertRunBy(site.stack.database, { ...FINISHED, task_input: numbers });
    const headers = { authorization: `Bearer ${await fetchToken("owner")}` };
    const use = async (page: Page) => {
      for (const id of [EXACT, large]) {
        const line = /^200 OK [\d.]+ m?s · [\d.]+ K?B · read from the database · database [\d.]+ m?s$/;
        expect(await send(page, id)).toMatch(line);
        const sent = await (await fetch(`${site.stack.url}/api/crew-runs/${id}`, { headers })).text();
        await expect.poll(async () => (await panel(page).boundingBox())?.y, PATIENCE).toBeLessThan(NARROW.height / 2);
        const indented = (await body(page).textContent()) ?? "";
        expect(indented).toMatch(new RegExp(`^\\{\n  "id": "${id}"`));
        expect(indented.replaceAll(/\s/g, "")).toBe(sent.replaceAll(/\s/g, ""));
        await page.getByLabel("Indent").uncheck();
        expect(await body(page).textContent()).toBe(sent);
        await page.getByLabel("Indent").check();
      }
      await button(page, "Send again").click();
      await expect.poll(() => readResult(page), PATIENCE).toMatch(/ · cached in this isolate$/);
      const shownHeaders = await page.locator("#headers-of-response").textContent();
      expect(shownHeaders).toMatch(/^cache-control: private, max-age=3600$/m);
    };
    await visitAsOwner(use, { viewport: NARROW });
  });

  test("goes once the form describes another request, and can be asked for again with its ETag", async () => {
    await visitAsOwner(async (page) => {
      const stale = page.locator("#response.stale");
      await send(page, OWN);
      await page.locator("#response summary").click();
      await expectAccessible(page, "200");

      await runField(page).fill(FOREIGN);
      expect(await stale.count()).toBe(1);
      expect(await page.locator("#sent-curl").innerText()).toContain(OWN);
      expect(await program(page).textContent()).toContain(FOREIGN);
      await expectAccessible(page, "stale");
      await runField(page).fill(OWN);
      expect(await stale.count()).toBe(0);
      await tokenField(page).fill(await fetchToken("admin"));
      expect(await stale.count()).toBe(1);

      await send(page);
      const sendWithTag = async () => {
        await button(page, "Send again with this ETag").click();
        await page.getByText("304 Not Modified").waitFor();
      };
      await sendWithTag();
      expect(await advice(page).textContent()).toBe("Your copy is current: the run hasn't changed.");
      expect(await body(page).isVisible()).toBe(false);
      expect(await program(page).innerText()).toMatch(/If-None-Match: "[\w-]+"/);
      expect(await focused(page)).toBe("response");
      await expectAccessible(page, "304");
      await page.getByRole("checkbox", { name: /If-None-Match/ }).uncheck();
      expect(await send(page)).toMatch(/^200/);
      await sendWithTag();
      // The tag is not sent for another run.
      expect(await send(page, FOREIGN)).toMatch(/^200/);
      expect(await program(page).innerText()).not.toContain("If-None-Match");

      // While the next one is awaited, it stays.
      await page.route("**/api/**", () => {});
      await button(page, "Send").click();
      await page.locator("#response[data-state=sending]").waitFor();
      expect(await body(page).innerText()).toContain(FOREIGN);
      await expectAccessible(page, "sending");
      await button(page, "Cancel").click();
      expect(await body(page).isVisible()).toBe(false);
      await expectAccessible(page, "canceled");
    });
  });

  test("that is an error, or doesn't come, takes the earlier one's place, and says what to do", async () => {
    const html = "<html><p>error code: 1010, [blocked]</p></html>";
    const blocked = { status: 403, contentType: "text/html", body: html };
    const problem = { detail: "Service temporarily unavailable", code: "database_unavailable", request_id: "x" };
    const unavailable = { status: 503, headers: { "retry-after": "50" }, json: problem };
    const pass = (route: Route) => route.continue();
    const fulfill = (response: object) => (route: Route) => route.fulfill(response);
    const rows: [token: string, respond: (route: Route) => Promise<void>, result: RegExp, text: RegExp][] = [
      ["", pass, /^401 Unauthorized/, /No access token was sent\./],
      ["opaque", pass, /^401 Unauthorized/, /The access token is malformed\.\n+Log in again/],
      ["žofie", pass, /^Not sent: the access token has a character/, /Send again/],
      ["a.b.c", fulfill(blocked), /^403/, /error code: 1010, \[blocked\]/],
      ["a.b.c", abort, /^No response: is the service up\?$/, /Send again/],
      ["a.b.c", fulfill(unavailable), /^503 Service/, /database_unavailable: .*\. Send again in \d+\ss\./],
    ];
    const use = async (page: Page) => {
      await runField(page).fill("   ");
      await button(page, "Send").click();
      expect(await panel(page).getAttribute("data-state")).toBe("idle");
      expect(await send(page, OWN)).toMatch(/^401/);
      await panel(page).getByRole("button", { name: "Log in" }).click();
      await button(page, "owner").click();
      await session(page).getByText("owner").waitFor();
      for (const [token, respond, result, text] of rows) {
        await tokenField(page).fill(await fetchToken("owner"));
        expect(await send(page, OWN)).toMatch(/^200/);
        await page.route("**/api/**", respond, { times: 1 });
        await tokenField(page).fill(token);
        expect(await send(page)).toMatch(result);
        expect(await panel(page).innerText()).toMatch(text);
        expect(await body(page).textContent()).not.toContain(OWN);
        await expectAccessible(page, String(result));
      }
      await panel(page).getByRole("link", { name: "database_unavailable" }).click();
      await page.locator("tr", { has: page.locator("#database_unavailable:target") }).waitFor();
    };
    await site.visit("/docs", use, { expectedMessages: /net::ERR_FAILED|status of (401|403|503)/ });
  });
});
