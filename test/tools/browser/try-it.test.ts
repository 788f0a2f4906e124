// *Try it* in Chromium, against the local stack: what it shows is so, whatever the reader, the network or the issuer does.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Locator, Page, Route } from "playwright-core";
import { describe, expect, test } from "vitest";
import { EXAMPLE_ROWS, SEEDED_RUNS } from "../../../dev/seeded-runs.ts";
import { cleanToken, describeSession, readSession } from "../../../docs/page/try/session.ts";
import { FINISH, insertRunBy, updateRunBy } from "../../support/runs.ts";
import { expectAccessible, open, stack } from "./site.ts";

const OWN = EXAMPLE_ROWS.completed.id;
const FOREIGN = SEEDED_RUNS.find(({ ownerId }) => ownerId === "stranger")?.id ?? "";
const EXACT = "77777777-7777-4777-8777-777777777777";
const PATIENCE = { timeout: 15_000 };
const CLIPBOARD = { permissions: ["clipboard-read", "clipboard-write"] };

const execute = promisify(execFile);

const fetchToken = async (user: "owner" | "admin") => stack.authorizationServer.fetchToken(user);
const panel = (page: Page) => page.locator("#response");
const body = (page: Page) => page.locator("#body");
const session = (page: Page) => page.locator("#session");
const program = (page: Page) => page.locator("#request pre:visible");
const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });
const runField = (page: Page) => page.getByLabel("Run id");
const tokenField = (page: Page) => page.getByRole("textbox", { name: "Access token" });
const abort = (route: Route) => route.abort();

/** Opens the page with the owner's token in its field. */
async function openAsOwner(options: object = {}): Promise<Page> {
  const page = await open("/docs#try-it", options);
  await tokenField(page).fill(await fetchToken("owner"));
  return page;
}

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

describe("a log-in", () => {
  test("lets an owner read an own run, and an admin any; then the page can forget the token", async () => {
    const page = await open(`/docs?run_id=${FOREIGN}`, { expectedMessages: /status of 404/ });
    await logIn(page, "owner");
    expect(await page.evaluate(() => sessionStorage.length + localStorage.length + document.cookie.length)).toBe(0);
    expect(page.url()).toBe(`${stack.url}/docs?run_id=${FOREIGN}#try-it`);
    expect(await session(page).textContent()).toMatch(/^owner · expires in (5\d:\d\d|1:00:00)$/);
    // Which has the focus.
    await page.keyboard.press("Enter");
    expect(await readResult(page)).toMatch(/^404 Not Found/);
    await button(page, "completed").click();
    expect(page.url()).toContain(OWN);
    expect(await send(page)).toMatch(/^200 OK/);
    await logIn(page, "admin");
    expect(await send(page, FOREIGN)).toMatch(/^200/);
    await button(page, "Log out").click();
    expect(await tokenField(page).inputValue()).toBe("");
    expect(await body(page).textContent()).toBe("");
    await tokenField(page).fill(await fetchToken("owner"));
    await page.reload();
    expect([await tokenField(page).inputValue(), await runField(page).inputValue()]).toEqual(["", FOREIGN]);
  });

  test("sends the parameters that the reader left in the settings, and no others; a switch asks for the user", async () => {
    const page = await openAsOwner();
    await page.locator("#log-in-settings summary").click();
    await expect.poll(() => page.getByLabel("More parameters").inputValue(), PATIENCE).toMatch(/^resource=http/);
    await page.getByLabel("More parameters").fill("ui_locales=cs");
    const leaving = page.waitForRequest(/\/auth\?/);
    await page.locator("#log-in").click();
    const sent = new URL((await leaving).url()).searchParams;
    // A page in the middle of a navigation may not close.
    await button(page, "owner").waitFor();
    expect([...sent.keys()].toSorted()).toEqual(
      "client_id code_challenge code_challenge_method prompt redirect_uri response_type state ui_locales".split(" "),
    );
  });

  test("that didn't begin here gives no token, though another is under way", async () => {
    const page = await open("/docs");
    for (const isUnderWay of [false, true]) {
      if (isUnderWay) {
        await page.locator("#log-in").click();
        await button(page, "owner").waitFor();
      }
      await page.goto(`${stack.url}/docs?code=x&state=y`);
      await page.getByText("This log-in didn't begin in this tab.").waitFor();
      expect(page.url()).not.toContain("code=");
      expect(await tokenField(page).inputValue()).toBe("");
    }
  });

  const API = /oauth-protected-resource/;
  const ISSUER = /oauth-authorization-server|openid-configuration/;
  const respond = (status: number, allowedOrigin: string) => (route: Route) =>
    route.fulfill({ status, headers: { "access-control-allow-origin": allowedOrigin }, json: {} });
  const refuse = (route: Route) => {
    const state = new URL(route.request().url()).searchParams.get("state") ?? "";
    const back = new URLSearchParams({ state, iss: stack.authorizationServer.issuer, error: "access_denied" });
    return route.fulfill({ status: 303, headers: { location: `${stack.url}/docs?${back}` } });
  };

  test.each<[fault: string, at: RegExp, fail: (route: Route) => Promise<void>, message: RegExp]>([
    ["the API doesn't respond", API, abort, /^The API doesn't respond/],
    ["the API fails", API, respond(500, "*"), /it responds 500/],
    ["the issuer is down", ISSUER, abort, /^http.* doesn't respond/],
    ["the issuer has no metadata", ISSUER, respond(404, "*"), /it responds 404/],
    ["the issuer forbids pages", ISSUER, respond(200, "https://x"), /\(CORS\)/],
    ["the issuer refuses", /\/auth\?/, refuse, /refuses: access_denied/],
  ])("that fails because %s says why, and can be repeated", async (_, at, fail, message) => {
    const page = await open("/docs", { expectedMessages: /net::ERR_|status of [45]0\d|blocked by CORS policy/ });
    await page.route(at, fail);
    await page.reload();
    await page.locator("#log-in").click();
    await expect.poll(() => page.locator("#log-in-message").textContent(), PATIENCE).toMatch(message);
    expect(await tokenField(page).inputValue()).toBe("");
    await page.unroute(at);
    await page.locator("#log-in").click();
    await button(page, "owner").waitFor();
  });

  test("needs a client id, which the reader can enter if the deployment names none", async () => {
    const page = await open("/docs");
    const metadata = { resource: stack.url, authorization_servers: [stack.authorizationServer.issuer] };
    await page.route(API, (route) => route.fulfill({ json: metadata }));
    await page.reload();
    await page.locator("#log-in").click();
    await page.getByText("This deployment names no client for this page.").waitFor();
    await page.getByLabel("Client id").fill("browser");
    await page.keyboard.press("Enter");
    await button(page, "owner").waitFor();
  });
});

describe("a token", () => {
  test.each(["Bearer a.b.c", ` 'bearer a.b.c'\n`, "Authorization: Bearer a.b.c"])("may be pasted as %j", (pasted) =>
    expect(cleanToken(pasted)).toBe("a.b.c"),
  );

  test.each([
    [{ sub: "žofie", exp: 4_733 }, "žofie · expires in 1:02:13"],
    [{ sub: "owner", exp: 1_000 }, "owner · expired"],
  ])("with the claims %j is described as %s", (claims, description) => {
    const payload = Buffer.from(JSON.stringify(claims)).toString("base64url");
    expect(describeSession(readSession(`e30.${payload}.sig`, 1_000_000) ?? { name: "" })).toBe(description);
  });

  test("can be copied, is in no other place, and goes with the reader, also if the browser keeps the page", async () => {
    const page = await openAsOwner(CLIPBOARD);
    const token = await tokenField(page).inputValue();
    await page.evaluate(() => {
      addEventListener("pageshow", ({ persisted }) => (document.title = `shown again: ${persisted}`));
    });
    await send(page, OWN);
    expect(await page.content()).not.toContain(token);
    await button(page, "Copy: the token").click();
    await button(page, "Copied").waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(token);

    await page.goto(`${stack.url}/health`);
    await page.goBack({ waitUntil: "commit" });
    await expect.poll(() => page.title(), PATIENCE).toBe("shown again: true");
    expect(await tokenField(page).inputValue()).toBe("");
    expect(await session(page).textContent()).toBe("");
    expect(await body(page).textContent()).toBe("");
    // Back from the issuer, no log-in is under way any more.
    await page.locator("#log-in").click();
    await button(page, "owner").waitFor();
    await page.goBack({ waitUntil: "commit" });
    await expect.poll(() => page.evaluate(() => sessionStorage.length), PATIENCE).toBe(0);
  });
});

describe("a request", () => {
  test("is shown as a program in the chosen language, and each program works", async () => {
    const page = await openAsOwner();
    await page.getByRole("checkbox", { name: /^Wait/ }).check();
    const env = { ...process.env, TOKEN: await fetchToken("owner") };
    const commands = {
      curl: ["sh", "-c"],
      JavaScript: [process.execPath, "--eval"],
      Python: ["python3", "-c"],
      // Not everyone has its compiler.
      Go: undefined,
    } as const;
    for (const [label, command] of Object.entries(commands)) {
      await page.locator("#request label", { hasText: label }).click();
      const text = await program(page).innerText();
      expect(text).toMatch(/Authorization.*TOKEN[^]*Prefer.*wait=30["']/);
      if (command === undefined) continue;
      const { stdout } = await execute(command[0], [command[1], text], { env });
      expect(stdout).toMatch(new RegExp(`200 [^]*\\{"id":"${OWN}"`));
    }
  });

  test("for an unfinished run can wait, be replaced or canceled, and ends with the run", async () => {
    const id = await insertRunBy(stack.database);
    const page = await openAsOwner();
    const waitBox = page.getByRole("checkbox", { name: /^Wait/ });
    const sending = page.locator("#response[data-state=sending]");
    await runField(page).fill(id);
    await waitBox.check();
    await button(page, "Send").click();
    await sending.waitFor();
    await waitBox.uncheck();
    const aborted = page.waitForEvent("requestfailed");
    expect(await send(page, OWN)).toMatch(/^200/);
    expect((await aborted).url()).toContain(id);
    expect(await body(page).innerText()).toContain(OWN);

    await runField(page).fill(id);
    await waitBox.check();
    await button(page, "Send").click();
    await expectAccessible(page, "sending");
    await button(page, "Cancel").click();
    expect(await readResult(page)).toMatch(/^Canceled/);

    // Send has the focus.
    await page.keyboard.press("Enter");
    await sending.waitFor();
    await updateRunBy(stack.database, id, FINISH);
    expect(await readResult(page)).toMatch(/^200/);
    expect(await body(page).innerText()).toContain(`"status": "completed"`);
  });
});

describe("a response", () => {
  test("has each digit as it was sent, indented or not, also if it's a large one after another", async () => {
    const page = await openAsOwner();
    const numbers = `{"numbers":[${"1,".repeat(160_000)}1]}`;
    const finished = { status: "completed", completed_at: "2036-01-01T00:00:00Z" } as const;
    const large = await insertRunBy(stack.database, { ...finished, task_input: numbers });
    const headers = { authorization: `Bearer ${await fetchToken("owner")}` };
    for (const id of [EXACT, large]) {
      expect(await send(page, id)).toMatch(/^200/);
      const sent = await (await fetch(`${stack.url}/api/crew-runs/${id}`, { headers })).text();
      const indented = (await body(page).textContent()) ?? "";
      expect(indented).toMatch(new RegExp(`^\\{\n  "id": "${id}"`));
      expect(indented.replaceAll(/\s/g, "")).toBe(sent.replaceAll(/\s/g, ""));
      await page.getByLabel("Indent").uncheck();
      expect(await body(page).textContent()).toBe(sent);
      await page.getByLabel("Indent").check();
    }
    await button(page, "Send again").click();
    expect(await readResult(page)).toMatch(/ · cached in this isolate$/);
  });

  test("goes once the form describes another request, and can be asked for again with its ETag", async () => {
    const page = await openAsOwner();
    const stale = page.locator("#response.stale");
    await send(page, OWN);
    await page.locator("#response summary").click();
    expect(await page.locator("#headers-of-response").innerText()).toMatch(/^etag: "/m);
    await expectAccessible(page, "200");

    await runField(page).fill(FOREIGN);
    expect(await stale.count()).toBe(1);
    expect(await page.locator("#sent-curl").innerText()).toContain(OWN);
    await expectAccessible(page, "stale");
    await runField(page).fill(OWN);
    expect(await stale.count()).toBe(0);
    await tokenField(page).fill(await fetchToken("admin"));
    expect(await stale.count()).toBe(1);

    await send(page);
    await button(page, "Send again with this ETag").click();
    await page.getByText("304 Not Modified").waitFor();
    expect(await program(page).innerText()).toMatch(/If-None-Match: "[\w-]+"/);
    expect(await body(page).isVisible()).toBe(false);
    await expectAccessible(page, "304");
    expect(await button(page, "Send again").isVisible()).toBe(true);
    expect(await button(page, "Send again with this ETag").isVisible()).toBe(false);
    // The tag is not sent for another run.
    expect(await send(page, FOREIGN)).toMatch(/^200/);
    expect(await program(page).innerText()).not.toContain("If-None-Match");
    // Nor once the copy is gone.
    await button(page, "Send again with this ETag").click();
    await button(page, "Log out").click();
    await tokenField(page).fill(await fetchToken("admin"));
    expect(await send(page)).toMatch(/^200/);
  });

  test("stays in place until the next one comes; that of another run is shown from its beginning", async () => {
    const page = await openAsOwner();
    const measureTop = async (part: Locator) => (await part.boundingBox())?.y ?? NaN;
    const findTop = async () => (await measureTop(body(page))) - (await measureTop(panel(page)));
    await send(page, OWN);
    const top = await findTop();
    for (const name of ["Send", "Send again with this ETag"]) {
      await page.route("**/api/**", () => {}, { times: 1 });
      await button(page, name).click();
      await page.locator("#response[data-state=sending]").waitFor();
      expect(await findTop()).toBe(top);
      await send(page);
    }
    await send(page, EXACT);
    await send(page, OWN);
    await panel(page).evaluate((element) => (element.scrollTop = 100));
    expect(await panel(page).evaluate(({ scrollTop }) => scrollTop)).toBe(100);
    await send(page, EXACT);
    expect(await panel(page).evaluate(({ scrollTop }) => scrollTop)).toBe(0);
  });

  test("that is an error, or doesn't come, takes the earlier one's place, and says what to do", async () => {
    const html = "<html><p>error code: 1010, [blocked]</p></html>";
    const blocked = { status: 403, contentType: "text/html", body: html };
    const problem = { detail: "Service temporarily unavailable", code: "database_unavailable", request_id: "x" };
    const unavailable = { status: 503, headers: { "retry-after": "50" }, json: problem };
    const fulfill = (response: object) => (route: Route) => route.fulfill(response);
    const pass = (route: Route) => route.continue();
    const rows: [token: string, respond: (route: Route) => Promise<void>, text: RegExp][] = [
      ["a.b.c", abort, /^No response[^]*Send again/],
      ["a.b.c", fulfill(blocked), /^403[^]*error code: 1010, \[blocked\]/],
      ["a.b.c", fulfill(unavailable), /^503 [^]*database_unavailable: .*\. Send again in \d+\ss\./],
      ["žofie", pass, /^Not sent: the access token has a character/],
      ["", pass, /^401 Unauthorized[^]*No access token was sent/],
      ["opaque", pass, /^401 Unauthorized[^]*The access token is malformed/],
    ];
    const page = await open("/docs", { expectedMessages: /net::ERR_FAILED|status of (401|403|503)/ });
    for (const [token, respond, text] of rows) {
      await tokenField(page).fill(await fetchToken("owner"));
      expect(await send(page, OWN)).toMatch(/^200/);
      await page.route("**/api/**", respond, { times: 1 });
      await tokenField(page).fill(token);
      await send(page);
      expect((await panel(page).innerText()).trim()).toMatch(text);
      expect(await body(page).textContent()).not.toContain(OWN);
      await expectAccessible(page, String(text));
    }
    expect(await page.locator("#code").getAttribute("href")).toBe("/docs/errors#invalid_token");
    await panel(page).getByRole("button", { name: "Log in again" }).click();
    await button(page, "owner").waitFor();
  });
});
