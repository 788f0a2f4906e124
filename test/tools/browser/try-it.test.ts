// *Try it* in Chromium, against the local stack: what it shows is so, whatever the reader, the network or the issuer does.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { SEEDED_RUNS } from "../../../dev/seeded-runs.ts";
import { describeResult } from "../../../docs/page/try/result.ts";
import { FINISH, insertRunBy, updateRunBy } from "../../support/runs.ts";
import { type Record as PageRecord, launchChromium } from "./chromium.ts";
import { NARROW, provideSite, takeScreenshot } from "./site.ts";

const [OWN = "", FOREIGN = ""] = ["owner", "stranger"].map(
  (owner) => SEEDED_RUNS.find(({ ownerId }) => ownerId === owner)?.id,
);
const EXACT = "77777777-7777-4777-8777-777777777777";
const RUNNING = "33333333-3333-4333-8333-333333333333";
/** Chromium writes each of these on the console. */
const REFUSED = /^Failed to load resource: the server responded with a status of 4\d\d/;
const NO_CONNECTION = /net::ERR_/;

const execute = promisify(execFile);
// A wait is over soon, so that one can be seen to end.
const site = provideSite({ MAX_WAIT_SECONDS: "3" });

const fetchToken = async (user: "owner" | "stranger" | "admin") => site.stack.authorizationServer.fetchToken(user);
const result = (page: Page) => page.locator("#result");
const body = (page: Page) => page.locator("#body");
const session = (page: Page) => page.locator("#session");

async function logIn(page: Page, user: string): Promise<void> {
  await page.locator("#log-in").click();
  await page.getByRole("button", { name: user, exact: true }).click();
  await session(page).getByText(user).waitFor();
}

/** Sends the form, with another run id if there is one, and gives the line of the result. */
async function send(page: Page, id?: string): Promise<string> {
  if (id !== undefined) await page.getByLabel("Run id").fill(id);
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator("#response:is([data-state=answered], [data-state=failed])").waitFor();
  return (await result(page).textContent()) ?? "";
}

test("owner and stranger log in and see their own run, and a 404 in place of the other's; an admin sees both", async () => {
  const use = async (page: Page, record: PageRecord) => {
    await logIn(page, "owner");
    expect(page.url()).toBe(`${site.stack.url}/docs#try-it`);
    expect(await page.evaluate(() => sessionStorage.length + localStorage.length + document.cookie.length)).toBe(0);
    expect(await send(page, OWN)).toMatch(/^200 OK/);
    await takeScreenshot(page, "try-it");
    const origins = [site.stack.url, site.stack.authorizationServer.issuer];
    expect([...record.origins].toSorted()).toEqual(origins.toSorted());
    expect(await send(page, FOREIGN)).toMatch(/^404 Not Found/);
    expect(await body(page).innerText()).toMatch(/"code": "run_not_found"/);
    await logIn(page, "stranger");
    expect(await send(page, OWN)).toMatch(/^404/);
    expect(await send(page, FOREIGN)).toMatch(/^200/);
    await logIn(page, "admin");
    expect(await send(page, OWN)).toMatch(/^200/);
    expect(await send(page, FOREIGN)).toMatch(/^200/);
    await page.reload();
    expect(await page.getByLabel("Access token").inputValue()).toBe("");
  };
  await site.visit("/docs", use, { expectedMessages: [REFUSED, REFUSED] });
});

test("a pasted token reads a run, which is shown digit by digit, with its headers and a curl line without the token", async () => {
  const token = await fetchToken("owner");
  const sent = await fetch(`${site.stack.url}/api/crew-runs/${EXACT}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  const text = await sent.text();
  const use = async (page: Page) => {
    await page.getByLabel("Access token").fill(token);
    expect(await send(page, EXACT)).toMatch(/^200/);
    const indented = (await body(page).textContent()) ?? "";
    expect(indented).toMatch(/\n    "long_decimal": 3\.14159265358979323846264338327950288419716939937510,\n/);
    const withoutBlanks = (json: string) => json.replaceAll(/\s/g, "");
    expect(withoutBlanks(indented)).toBe(withoutBlanks(text));
    await page.getByLabel("Indent").uncheck();
    expect(await body(page).textContent()).toBe(text);
    const headers = (await page.locator("#headers-of-response").textContent()) ?? "";
    expect(headers).toMatch(/^cache-control: private, max-age=3600$/m);
    const curl = (await page.locator("#curl").textContent()) ?? "";
    const lines = ["curl -i", `  -H "Authorization: Bearer $TOKEN"`, `  '${site.stack.url}/api/crew-runs/${EXACT}'`];
    expect(curl).toBe(lines.join(" \\\n"));
    await takeScreenshot(page, "try-it-narrow", true);
    const { stdout } = await execute("sh", ["-c", curl], { env: { ...process.env, TOKEN: token } });
    expect(stdout.endsWith(text)).toBe(true);
  };
  await site.visit("/docs", use, { viewport: NARROW });
});

test("the example on the page is the run that its id finds", async () => {
  await site.visit("/docs", async (page) => {
    await page.getByLabel("Access token").fill(await fetchToken("owner"));
    for (const state of ["completed", "running", "pending", "failed"]) {
      const example = (await page.locator(`#runs [aria-label^="${state}, "] code`).textContent()) ?? "";
      const [, id = ""] = /"id": "([^"]+)"/.exec(example) ?? [];
      expect(await send(page, id)).toMatch(/^200/);
      expect((await body(page).textContent())?.replaceAll(/\s/g, "")).toBe(example.replaceAll(/\s/g, ""));
    }
  });
});

test("a request without a response takes the earlier response away, and says so", async () => {
  const use = async (page: Page) => {
    await page.getByLabel("Access token").fill(await fetchToken("owner"));
    expect(await send(page, OWN)).toMatch(/^200/);
    await page.route("**/api/**", async (route) => route.abort("connectionrefused"));
    expect(await send(page)).toBe("No response: is the service up?");
    expect(await body(page).isVisible()).toBe(false);
    await takeScreenshot(page, "try-it-failed");
    await page.unroute("**/api/**");
    await page.getByLabel("Access token").fill("a token with “quotes”");
    expect(await send(page)).toMatch(/^Not sent: the access token has a character that a header can't carry/);
    expect(await body(page).isVisible()).toBe(false);
  };
  await site.visit("/docs", use, { expectedMessages: [NO_CONNECTION] });
});

test("only the latest request counts: the one before it is given up", async () => {
  await site.visit("/docs", async (page) => {
    await page.getByLabel("Access token").fill(await fetchToken("owner"));
    await page.getByLabel("Run id").fill(RUNNING);
    await page.getByLabel("Wait up to").check();
    const aborted = page.waitForEvent("requestfailed");
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByText(/^waiting \d+ of 30 s$/).waitFor();
    await page.getByLabel("Wait up to").uncheck();
    expect(await send(page, OWN)).toMatch(/^200/);
    expect((await aborted).failure()?.errorText).toBe("net::ERR_ABORTED");
    expect((await aborted).url()).toMatch(RUNNING);
    expect(await body(page).innerText()).toContain(OWN);
    expect(await page.locator("#progress").textContent()).toBe("");
  });
});

test("a wait counts its seconds and can be canceled; one that is over leaves the rest to the reader", async () => {
  await site.visit("/docs", async (page) => {
    await page.getByLabel("Access token").fill(await fetchToken("owner"));
    await page.getByLabel("Run id").fill(RUNNING);
    await page.getByLabel("Wait up to").check();
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByText("waiting 1 of 30 s").waitFor();
    await takeScreenshot(page, "try-it-waiting");
    await page.getByRole("button", { name: "Cancel" }).click();
    expect(await page.locator("#progress").textContent()).toBe("");
    expect(await page.locator("#response").getAttribute("data-state")).toBe("idle");
    expect(await page.getByRole("button", { name: "Cancel" }).isVisible()).toBe(false);
    expect(await send(page)).toMatch(/^200/);
    expect(await page.locator("#advice").textContent()).toBe("Still running: send again.");
  });
});

test("a wait ends with the run", async () => {
  const { database } = site.stack;
  const id = await insertRunBy(database, { status: "running" });
  await site.visit("/docs", async (page) => {
    await page.getByLabel("Access token").fill(await fetchToken("owner"));
    await page.getByLabel("Run id").fill(id);
    await page.getByLabel("Wait up to").check();
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByText("waiting 1 of 30 s").waitFor();
    await updateRunBy(database, id, FINISH);
    await page.locator("#response[data-state=answered]").waitFor();
    expect(await body(page).innerText()).toContain(`"status": "completed"`);
    expect(await page.locator("#advice").isVisible()).toBe(false);
  });
});

test("once the form describes another request, the response is dimmed and keeps its own curl line", async () => {
  await site.visit("/docs", async (page) => {
    await page.getByLabel("Access token").fill(await fetchToken("owner"));
    await send(page, OWN);
    const [dimmed, sent] = [page.locator("#response.stale"), page.locator("#sent-curl")];
    expect(await sent.isVisible()).toBe(false);
    await page.getByLabel("Run id").fill(RUNNING);
    expect(await dimmed.count()).toBe(1);
    expect(await sent.textContent()).toContain(OWN);
    expect(await page.locator("#curl").textContent()).toContain(RUNNING);
    await takeScreenshot(page, "try-it-dimmed");
    await page.getByLabel("Run id").fill(OWN);
    expect(await dimmed.count()).toBe(0);
    await page.getByLabel("Access token").fill(await fetchToken("admin"));
    expect(await dimmed.count()).toBe(1);
    await page.getByLabel("Wait up to").check();
    expect(await send(page)).toMatch(/^200/);
    expect(await dimmed.count()).toBe(0);
  });
});

test("the result is one line: status, time, size, where the run came from, and the database's part", async () => {
  const id = await insertRunBy(site.stack.database, {
    status: "completed",
    completed_at: "2036-01-01T00:00:00Z",
    result: "x".repeat(1_000),
  });
  await site.visit("/docs", async (page) => {
    await page.getByLabel("Access token").fill(await fetchToken("owner"));
    expect(await send(page, id)).toMatch(/^200 OK · \d+ ms · 1\.\d KB · read from the database · database \d+ ms$/);
    expect(await send(page)).toMatch(/^200 OK · \d+ ms · 1\.\d KB · cached in this isolate$/);
    await takeScreenshot(page, "try-it-cached");
    await page.getByLabel("Run id").fill(RUNNING);
    await send(page);
    expect(await page.locator("#advice").textContent()).toMatch(/^Not finished: send again in \d+ s, or wait\.$/);
  });
  const headers = new Headers({ "cache-status": "crew-runs; hit; detail=data-center", "server-timing": "total;dur=2" });
  const request = { path: "", headers: {}, curl: "", waits: false };
  const answered = { kind: "answered", request, status: 200, headers, text: "", bytes: 999, milliseconds: 3 } as const;
  expect(describeResult(answered)).toEqual(["3 ms", "999 B", "cached in this data center"]);
});

test("the session is the token's: its subject, how long it lasts, and nothing of the one before", async () => {
  await site.visit("/docs", async (page) => {
    await logIn(page, "owner");
    expect(await session(page).textContent()).toMatch(/^owner · expires in (59:5\d|1:00:00)$/);
    expect(await page.locator("#log-in").textContent()).toBe("Switch");
    const first = await session(page).textContent();
    await expect.poll(async () => session(page).textContent(), { timeout: 5_000 }).not.toBe(first);
    await page.getByLabel("Access token").fill(await fetchToken("admin"));
    expect(await session(page).textContent()).toMatch(/^admin · expires in /);
    expect(await page.getByText("owner", { exact: true }).count()).toBe(0);
    const payload = Buffer.from(JSON.stringify({ sub: "žofie", exp: 1 })).toString("base64url");
    await page.getByLabel("Access token").fill(`e30.${payload}.sig`);
    expect(await session(page).textContent()).toBe("žofie · expired");
    expect(await page.locator("#log-in").textContent()).toBe("Log in again");
    await page.getByLabel("Access token").fill("opaque");
    expect(await session(page).textContent()).toBe("Not a JSON Web Token");
    await page.getByRole("button", { name: "Log out" }).click();
    expect(await page.getByLabel("Access token").inputValue()).toBe("");
    expect(await session(page).textContent()).toBe("");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("log-in");
  });
});

test("a 401 shows the challenge's description and offers to log in again", async () => {
  const use = async (page: Page) => {
    expect(await send(page, OWN)).toMatch(/^401 Unauthorized/);
    expect(await page.locator("#advice").textContent()).toMatch(
      /^not_authenticated: No access token was sent\. Log in$/,
    );
    await page.getByLabel("Access token").fill("opaque");
    expect(await send(page)).toMatch(/^401 Unauthorized/);
    expect(await page.locator("#advice").textContent()).toBe(
      "invalid_token: The access token is malformed. Log in again",
    );
    await takeScreenshot(page, "try-it-401");
    await page.locator("#advice").getByRole("button", { name: "Log in again" }).click();
    await page.getByRole("button", { name: "owner", exact: true }).click();
    await session(page).getByText("owner").waitFor();
    expect(await send(page)).toMatch(/^200/);
  };
  await site.visit("/docs", use, { expectedMessages: [REFUSED, REFUSED] });
});

test("an error has its sentence, and a link to its explanation", async () => {
  const use = async (page: Page) => {
    await page.getByLabel("Access token").fill(await fetchToken("owner"));
    await send(page, FOREIGN);
    expect(await page.locator("#advice").textContent()).toMatch(/^run_not_found: The run doesn't exist, or/);
    await page.locator("#advice a").click();
    await page.waitForURL("**/docs/errors#run_not_found");
  };
  await site.visit("/docs", use, { expectedMessages: [REFUSED] });
});

test("after the log-in the focus is on Send, and the address has nothing of it", async () => {
  await site.visit("/docs?run_id=44444444-4444-4444-8444-444444444444", async (page) => {
    expect(await page.getByLabel("Run id").inputValue()).toBe("44444444-4444-4444-8444-444444444444");
    await logIn(page, "owner");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("send");
    expect(await page.locator("#log-in-message").textContent()).toBe("");
    expect(page.url()).toBe(`${site.stack.url}/docs#try-it`);
    await page.keyboard.press("Enter");
    await page.getByText("The search found no such city.").last().waitFor();
    expect(await body(page).innerText()).toContain(`"status": "failed"`);
  });
});

test("who leaves takes the token along, also past the browser's back button", async () => {
  // Playwright turns Chromium's back-forward cache off.
  const browser = await launchChromium({ ignoreDefaultArgs: ["--disable-back-forward-cache"] });
  try {
    const page = await browser.newPage();
    await page.goto(`${site.stack.url}/docs`, { waitUntil: "networkidle" });
    await page.evaluate(() => {
      addEventListener("pageshow", ({ persisted }) => (document.title = `shown again: ${persisted}`));
    });
    await page.getByLabel("Access token").fill(await fetchToken("owner"));
    await send(page, OWN);
    await page.goto(`${site.stack.url}/health`);
    await page.goBack({ waitUntil: "commit" });
    await expect.poll(async () => page.title()).toBe("shown again: true");
    expect(await page.getByLabel("Access token").inputValue()).toBe("");
    expect(await session(page).textContent()).toBe("");
    expect(await page.locator("#response").getAttribute("data-state")).toBe("idle");
    // Back from the issuer: nothing is under way any more.
    await page.locator("#log-in").click();
    await page.getByRole("button", { name: "owner", exact: true }).waitFor();
    await page.goBack({ waitUntil: "commit" });
    await page.locator("#log-in").waitFor();
    expect(await page.locator("#log-in-message").textContent()).not.toContain("On the way");
    expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
  } finally {
    await browser.close();
  }
});

test("a return from the issuer that did not begin here, or with another state, gives no token", async () => {
  await site.visit("/docs?code=x&state=y", async (page) => {
    expect(page.url()).toBe(`${site.stack.url}/docs#try-it`);
    await page.getByText("This log-in didn't begin here. Log in again.").waitFor();
    await page.locator("#log-in").click();
    await page.getByRole("button", { name: "owner" }).waitFor();
    await page.goto(`${site.stack.url}/docs?code=x&state=y&iss=${site.stack.authorizationServer.issuer}`);
    await page.getByText(`unexpected "state" response parameter value`).waitFor();
    expect(await page.getByLabel("Access token").inputValue()).toBe("");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("log-in");
  });
});

test("if the issuer can't be reached, the page says so and takes a pasted token", async () => {
  const { issuer } = site.stack.authorizationServer;
  const use = async (page: Page) => {
    await page.route(`${issuer}/**`, async (route) => route.abort());
    await page.locator("#log-in").click();
    await page.getByText(`The metadata of ${issuer} can't be read from a browser.`).waitFor();
    await page.getByLabel("Access token").fill(await fetchToken("owner"));
    expect(await send(page, OWN)).toMatch(/^200/);
  };
  await site.visit("/docs", use, { expectedMessages: [NO_CONNECTION, NO_CONNECTION] });
});
