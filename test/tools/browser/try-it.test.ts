// *Try it* in Chromium, against the local stack: what it shows is so, whatever the reader, the network or the issuer does.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { SEEDED_RUNS } from "../../../dev/seeded-runs.ts";
import { collectFailureResponses } from "../../../docs/failure-responses.ts";
import { describeResult } from "../../../docs/page/try/result.ts";
import { FINISH, insertRunBy, updateRunBy } from "../../support/runs.ts";
import { type Record as PageRecord, launchChromium } from "./chromium.ts";
import { LOW, NARROW, findMisplacedTexts, findViolations, provideSite, takeScreenshot } from "./site.ts";

const [OWN = "", FOREIGN = ""] = ["owner", "stranger"].map(
  (owner) => SEEDED_RUNS.find(({ ownerId }) => ownerId === owner)?.id,
);
const EXACT = "77777777-7777-4777-8777-777777777777";
const RUNNING = "33333333-3333-4333-8333-333333333333";
const PENDING = "22222222-2222-4222-8222-222222222222";
/** Chromium writes each of these on the console. */
const REFUSED = /^Failed to load resource: the server responded with a status of [45]\d\d/;
const NO_CONNECTION = /net::ERR_/;
const NO_CORS = /blocked by CORS policy/;

const PATIENCE = { timeout: 15_000 };

const execute = promisify(execFile);
// A wait is over soon, so that one can be seen to end.
const site = provideSite({ MAX_WAIT_SECONDS: "3" });

const fetchToken = async (user: "owner" | "stranger" | "admin") => site.stack.authorizationServer.fetchToken(user);
const panel = (page: Page) => page.locator("#response");
const body = (page: Page) => page.locator("#body");
const session = (page: Page) => page.locator("#session");
const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });
const waitBox = (page: Page) => page.getByRole("checkbox", { name: /^Wait/ });
const tokenField = (page: Page) => page.getByRole("textbox", { name: "Access token" });

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
  if (id !== undefined) await page.getByLabel("Run id").fill(id);
  await button(page, "Send").click();
  return readResult(page);
}

/** Opens the page with the owner's token in its field. */
async function visitAsOwner(use: (page: Page) => Promise<void>, expectedMessages: RegExp[] = []): Promise<void> {
  const prepare = async (page: Page) => {
    await tokenField(page).fill(await fetchToken("owner"));
    await use(page);
  };
  await site.visit("/docs#try-it", prepare, { expectedMessages });
}

/** Holds the API's responses until the returned function is called. */
async function hold(page: Page): Promise<() => Promise<void>> {
  const held = Promise.withResolvers<void>();
  await page.route("**/api/**", async (route) => {
    await held.promise;
    await route.continue();
  });
  return async () => {
    held.resolve();
    await readResult(page);
    await page.unroute("**/api/**");
  };
}

describe("a log-in", () => {
  test("lets owner and stranger see their own run, and a 404 in place of the other's; an admin sees both", async () => {
    const use = async (page: Page, record: PageRecord) => {
      await logIn(page, "owner");
      expect(await page.evaluate(() => sessionStorage.length + localStorage.length + document.cookie.length)).toBe(0);
      expect(await send(page, OWN)).toMatch(/^200 OK/);
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
      expect(await tokenField(page).inputValue()).toBe("");
    };
    await site.visit("/docs", use, { expectedMessages: [REFUSED, REFUSED] });
  });

  test("ends with the focus on Send, and leaves nothing of itself in the address", async () => {
    await site.visit("/docs?run_id=44444444-4444-4444-8444-444444444444", async (page) => {
      await logIn(page, "owner");
      expect(await page.evaluate(() => document.activeElement?.id)).toBe("send");
      expect(page.url()).toBe(`${site.stack.url}/docs?run_id=44444444-4444-4444-8444-444444444444#try-it`);
      await page.keyboard.press("Enter");
      await page.getByText("The search found no such city.").last().waitFor();
      expect(await body(page).innerText()).toContain(`"status": "failed"`);
    });
  });

  test("sends the parameters that the reader left in the settings, and no others", async () => {
    await site.visit("/docs", async (page) => {
      await page.locator("#log-in-settings summary").click();
      expect(await page.getByLabel("More parameters").inputValue()).toMatch(/^resource=http/);
      await page.getByLabel("More parameters").fill("ui_locales=cs");
      await page.getByLabel("Scope").fill("");
      const leaving = page.waitForRequest((request) => request.isNavigationRequest());
      await page.locator("#log-in").click();
      const sent = new URL((await leaving).url()).searchParams;
      expect([...sent.keys()].toSorted()).toEqual(
        "client_id code_challenge code_challenge_method redirect_uri response_type state ui_locales".split(" "),
      );
    });
  });

  test("that did not begin here, or returns with another state, gives no token", async () => {
    await site.visit("/docs?code=x&state=y", async (page) => {
      expect(page.url()).not.toContain("code=");
      await page.getByText("This log-in didn't begin in this tab.").waitFor();
      await page.locator("#log-in").click();
      await button(page, "owner").waitFor();
      await page.goto(`${site.stack.url}/docs?code=x&state=y&iss=${site.stack.authorizationServer.issuer}`);
      await page.getByText("This log-in didn't begin in this tab.").waitFor();
      expect(await tokenField(page).inputValue()).toBe("");
      expect(await page.evaluate(() => document.activeElement?.id)).toBe("log-in");
    });
  });

  test("shows whose token is in the field, and how long it lasts; after the log-out, where to log in again", async () => {
    await site.visit("/docs", async (page) => {
      const where = page.getByText(`at ${new URL(site.stack.authorizationServer.issuer).host}`);
      await where.waitFor();
      await logIn(page, "owner");
      expect(await session(page).textContent()).toMatch(/^owner · expires in (5\d:\d\d|1:00:00)$/);
      const first = await session(page).textContent();
      await expect.poll(async () => session(page).textContent(), PATIENCE).not.toBe(first);
      await tokenField(page).fill(await fetchToken("admin"));
      expect(await session(page).textContent()).toMatch(/^admin · expires in /);
      const payload = Buffer.from(JSON.stringify({ sub: "žofie", exp: 1 })).toString("base64url");
      await tokenField(page).fill(`e30.${payload}.sig`);
      expect(await session(page).textContent()).toBe("žofie · expired");
      await tokenField(page).fill("opaque");
      expect(await session(page).textContent()).toBe("Not a JSON Web Token");
      await button(page, "Log out").click();
      expect(await tokenField(page).inputValue()).toBe("");
      expect(await session(page).textContent()).toBe("");
      expect(await page.evaluate(() => document.activeElement?.id)).toBe("log-in");
      await where.waitFor();
    });
  });
});

describe("a log-in that fails says why, and what to do", () => {
  const METADATA = "**/.well-known/oauth-protected-resource";
  const message = (page: Page) => page.locator("#log-in-message");
  const expectMessage = async (page: Page, expected: RegExp) =>
    expect.poll(async () => message(page).textContent(), PATIENCE).toMatch(expected);

  test("the API doesn't respond", async () => {
    const use = async (page: Page) => {
      await page.route(METADATA, async (route) => route.abort());
      await page.reload({ waitUntil: "networkidle" });
      await expectMessage(page, /^The API doesn't respond, .*\. Check the network/);
      const failing = page.waitForEvent("requestfailed");
      await page.locator("#log-in").click();
      await failing;
      await expectMessage(page, /^The API doesn't respond/);
      // After the outage a click is enough.
      await page.unroute(METADATA);
      await page.locator("#log-in").click();
      await button(page, "owner").waitFor();
    };
    await site.visit("/docs", use, { expectedMessages: [NO_CONNECTION, NO_CONNECTION] });
  });

  test("the API fails", async () => {
    const use = async (page: Page) => {
      await page.route(METADATA, async (route) => route.fulfill({ status: 500, json: { code: "misconfigured" } }));
      await page.reload({ waitUntil: "networkidle" });
      await expectMessage(page, /^The API doesn't tell where to log in: it responds 500\. Ask whoever runs it/);
    };
    await site.visit("/docs", use, { expectedMessages: [REFUSED] });
  });

  test("the metadata is slow: a click waits for it", async () => {
    await site.visit("/docs", async (page) => {
      const held = Promise.withResolvers<void>();
      await page.route(METADATA, async (route) => {
        await held.promise;
        await route.continue();
      });
      await page.reload();
      await page.locator("#log-in").click();
      expect(await page.getByText("names no client").isVisible()).toBe(false);
      held.resolve();
      await button(page, "owner").waitFor();
    });
  });

  test("the deployment names no client", async () => {
    await site.visit("/docs", async (page) => {
      await page.route(METADATA, async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, json: { ...(await response.json()), docs_client_id: undefined } });
      });
      await page.reload({ waitUntil: "networkidle" });
      await page.locator("#log-in").click();
      await expectMessage(page, /^This deployment names no client for this page\. Enter one, or paste a token\.$/);
      // The Enter key in the settings logs in, and sends nothing.
      await page.getByLabel("Client id").fill("browser");
      await page.keyboard.press("Enter");
      await button(page, "owner").waitFor();
    });
  });

  test("the issuer is down", async () => {
    const { issuer } = site.stack.authorizationServer;
    const use = async (page: Page) => {
      await page.route(`${issuer}/**`, async (route) => route.abort());
      await page.locator("#log-in").click();
      await expectMessage(page, /^http:.* doesn't respond\. Log in again later, or paste a token\.$/);
      await tokenField(page).fill(await fetchToken("owner"));
      expect(await send(page, OWN)).toMatch(/^200/);
    };
    await site.visit("/docs", use, { expectedMessages: Array(4).fill(NO_CONNECTION) });
  });

  test("the issuer doesn't let pages read its metadata", async () => {
    const { issuer } = site.stack.authorizationServer;
    const use = async (page: Page) => {
      await page.route(`${issuer}/**`, async (route) =>
        route.fulfill({ json: {}, headers: { "access-control-allow-origin": "https://other.example" } }),
      );
      await page.locator("#log-in").click();
      await expectMessage(page, /doesn't let web pages read its responses \(CORS\)\. Get a token elsewhere/);
    };
    const refused = [NO_CORS, NO_CONNECTION, NO_CORS, NO_CONNECTION];
    await site.visit("/docs", use, { expectedMessages: refused });
  });

  test("the issuer refuses", async () => {
    const { issuer } = site.stack.authorizationServer;
    await site.visit("/docs", async (page) => {
      await page.locator("#log-in").click();
      await button(page, "owner").waitFor();
      await page.goBack();
      await page.evaluate(() =>
        sessionStorage.setItem(
          "log-in",
          JSON.stringify({
            state: "s",
            verifier: "v",
            fields: { client_id: "browser", scope: "", parameters: "", run_id: "" },
          }),
        ),
      );
      const refusal = new URLSearchParams({ error: "access_denied", state: "s", iss: issuer });
      await page.goto(`${site.stack.url}/docs?${refusal}`);
      await expectMessage(page, /refuses: access_denied\. Log in again, or paste a token\.$/);
    });
  });
});

describe("a token", () => {
  test("reads a run, which is shown digit by digit, with its headers and programs without the token", async () => {
    const token = await fetchToken("owner");
    const sent = await fetch(`${site.stack.url}/api/crew-runs/${EXACT}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    const text = await sent.text();
    const use = async (page: Page) => {
      await tokenField(page).fill(token);
      expect(await send(page, EXACT)).toMatch(/^200/);
      const indented = (await body(page).textContent()) ?? "";
      expect(indented).toMatch(/\n    "long_decimal": 3\.14159265358979323846264338327950288419716939937510,\n/);
      const withoutBlanks = (json: string) => json.replaceAll(/\s/g, "");
      expect(withoutBlanks(indented)).toBe(withoutBlanks(text));
      await page.getByLabel("Indent").uncheck();
      expect(await body(page).textContent()).toBe(text);
      const headers = (await page.locator("#headers-of-response").textContent()) ?? "";
      expect(headers).toMatch(/^cache-control: private, max-age=3600$/m);
      expect(await page.content()).not.toContain(token);
    };
    await site.visit("/docs", use, { viewport: NARROW });
  });

  test("may be pasted with its header or in quotes, and copied again", async () => {
    const token = await fetchToken("owner");
    const use = async (page: Page) => {
      for (const pasted of [
        `Bearer ${token}`,
        `"${token}"`,
        ` 'bearer ${token}'\n`,
        `Authorization: Bearer ${token}`,
      ]) {
        await tokenField(page).fill(pasted);
        expect(await send(page, OWN), pasted.slice(0, 12)).toMatch(/^200/);
      }
      await button(page, "Copy: the token").click();
      await button(page, "Copied").waitFor();
      expect(await page.evaluate(async () => navigator.clipboard.readText())).toBe(token);
    };
    await site.visit("/docs", use, { permissions: ["clipboard-read", "clipboard-write"] });
  });

  test("goes when the reader leaves, also past the browser's back button; the run's id stays", async () => {
    await visitAsOwner(async (page) => {
      await page.getByLabel("Run id").fill(PENDING);
      await page.getByRole("link", { name: "Polling", exact: true }).first().click();
      await page.waitForURL("**/docs/polling");
      await page.goBack({ waitUntil: "networkidle" });
      expect(await page.getByLabel("Run id").inputValue()).toBe(PENDING);
      expect(await tokenField(page).inputValue()).toBe("");
    });
  });

  test("goes from a page that the browser keeps for its back button, too", async () => {
    // Playwright turns Chromium's back-forward cache off.
    const browser = await launchChromium({ ignoreDefaultArgs: ["--disable-back-forward-cache"] });
    try {
      const page = await browser.newPage();
      await page.goto(`${site.stack.url}/docs`, { waitUntil: "networkidle" });
      await page.evaluate(() => {
        addEventListener("pageshow", ({ persisted }) => (document.title = `shown again: ${persisted}`));
      });
      await tokenField(page).fill(await fetchToken("owner"));
      await send(page, OWN);
      await page.goto(`${site.stack.url}/health`);
      await page.goBack({ waitUntil: "commit" });
      await expect.poll(async () => page.title(), PATIENCE).toBe("shown again: true");
      expect(await tokenField(page).inputValue()).toBe("");
      expect(await session(page).textContent()).toBe("");
      expect(await panel(page).getAttribute("data-state")).toBe("idle");
      expect(await body(page).textContent()).toBe("");
      // Back from the issuer: nothing is under way any more.
      await page.locator("#log-in").click();
      await button(page, "owner").waitFor();
      await page.goBack({ waitUntil: "commit" });
      await page.locator("#log-in").waitFor();
      expect(await page.locator("#log-in-message").textContent()).not.toContain("On the way");
      expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
    } finally {
      await browser.close();
    }
  });
});

describe("a request", () => {
  test("is shown as a program in the chosen language, and each program works", async () => {
    const token = await fetchToken("owner");
    await site.visit("/docs", async (page) => {
      await tokenField(page).fill(token);
      await page.getByLabel("Run id").fill(OWN);
      const write = async (label: string) => {
        await page.locator("#request label", { hasText: label }).click();
        return page.locator("#request pre:visible").innerText();
      };
      const run = async (command: string, flag: string, label: string) => {
        const env = { ...process.env, TOKEN: token };
        return (await execute(command, [flag, await write(label)], { env })).stdout;
      };
      expect(await run("sh", "-c", "curl")).toMatch(new RegExp(`^HTTP/1.1 200 OK[^]*\\{"id":"${OWN}"`));
      expect(await run(process.execPath, "--eval", "JavaScript")).toMatch(new RegExp(`^200 \\{"id":"${OWN}"`));
      expect(await run("python3", "-c", "Python")).toMatch(new RegExp(`^200 \\{"id":"${OWN}"`));
      expect(await write("Go")).toContain(`request.Header.Set("Authorization", "Bearer "+os.Getenv("TOKEN"))`);
      await waitBox(page).check();
      for (const label of ["curl", "JavaScript", "Python", "Go"])
        expect(await write(label), label).toMatch(/Prefer.*wait=30/);
      // The choice is for all samples.
      expect(await page.getByLabel("Go, Read a run", { exact: true }).isVisible()).toBe(true);
    });
  });

  test("keeps the panel as high as it was while it is under way", async () => {
    await visitAsOwner(async (page) => {
      await send(page, OWN);
      const measure = async () => [
        await panel(page).evaluate((one) => one.clientHeight),
        await page.evaluate(() => document.documentElement.scrollHeight),
      ];
      const before = await measure();
      const release = await hold(page);
      await button(page, "Send").click();
      await page.locator("#response[data-state=sending]").waitFor();
      const [height = 0, pageHeight = 0] = await measure();
      expect(Math.abs(height - (before[0] ?? 0))).toBeLessThan(60);
      expect(Math.abs(pageHeight - (before[1] ?? 0))).toBeLessThan(60);
      await release();
    });
  });

  test("brings the response into view on a phone", async () => {
    const use = async (page: Page) => {
      await tokenField(page).fill(await fetchToken("owner"));
      await send(page, OWN);
      await expect
        .poll(async () => (await panel(page).boundingBox())?.y ?? 999, PATIENCE)
        .toBeLessThan(NARROW.height / 2);
      expect(await body(page).getByText(OWN).first().isVisible()).toBe(true);
    };
    await site.visit("/docs#try-it", use, { viewport: NARROW });
  });

  test("needs more than blanks as a run id, and is not sent with a token that a header can't carry", async () => {
    const use = async (page: Page, record: PageRecord) => {
      await page.getByLabel("Run id").fill("   ");
      await button(page, "Send").click();
      expect(await panel(page).getAttribute("data-state")).toBe("idle");
      await tokenField(page).fill("žofie");
      expect(await send(page, OWN)).toMatch(/^Not sent: the access token has a character/);
      expect(record.messages).toEqual([]);
    };
    await site.visit("/docs", use);
  });

  test("writes its run's id to the address, which leads back to the run", async () => {
    await visitAsOwner(async (page) => {
      await send(page, RUNNING);
      expect(page.url()).toBe(`${site.stack.url}/docs?run_id=${RUNNING}#try-it`);
      await page.reload({ waitUntil: "networkidle" });
      expect(await page.getByLabel("Run id").inputValue()).toBe(RUNNING);
    });
  });

  test("may be for any of the local stack's runs: a chip for each", async () => {
    await site.visit("/docs", async (page) => {
      for (const { id, description } of SEEDED_RUNS) {
        await button(page, description).click();
        expect(await page.getByLabel("Run id").inputValue()).toBe(id);
        expect(page.url()).toContain(id);
      }
    });
  });

  test("counts only if it is the latest: the one before it is given up", async () => {
    await visitAsOwner(async (page) => {
      await page.getByLabel("Run id").fill(RUNNING);
      await waitBox(page).check();
      const aborted = page.waitForEvent("requestfailed");
      await button(page, "Send").click();
      await page.locator("#response[data-state=sending]").waitFor();
      await waitBox(page).uncheck();
      await page.getByLabel("Run id").fill(OWN);
      await button(page, "Send").click();
      expect((await aborted).failure()?.errorText).toBe("net::ERR_ABORTED");
      expect((await aborted).url()).toMatch(RUNNING);
      expect(await readResult(page)).toMatch(/^200/);
      expect(await body(page).innerText()).toContain(OWN);
      expect(await page.locator("#progress").textContent()).toBe("");
    });
  });

  test("that waits counts its seconds and can be canceled; the response says how long it waited", async () => {
    await visitAsOwner(async (page) => {
      await page.getByLabel("Run id").fill(PENDING);
      await waitBox(page).check();
      await button(page, "Send").click();
      await expect.poll(async () => page.locator("#progress").textContent(), PATIENCE).toMatch(/^1\ss$/);
      expect(await panel(page).innerText()).not.toContain("30");
      await button(page, "Cancel").click();
      expect(await panel(page).getAttribute("data-state")).toBe("canceled");
      expect(await readResult(page)).toMatch(/^Canceled/);
      expect(await page.evaluate(() => document.activeElement?.id)).toBe("send");
      expect(await send(page)).toMatch(/^200 OK [\d.]+ s/);
      await page.getByText("Not finished after a wait of 3 s: send again now.").waitFor();
      expect(await panel(page).getByText("running").count()).toBe(0);
    });
  });

  test("that waits ends with the run", async () => {
    const id = await insertRunBy(site.stack.database, { status: "running" });
    await visitAsOwner(async (page) => {
      await page.getByLabel("Run id").fill(id);
      await waitBox(page).check();
      await button(page, "Send").click();
      await page.locator("#response[data-state=sending]").waitFor();
      await updateRunBy(site.stack.database, id, FINISH);
      expect(await readResult(page)).toMatch(/^200/);
      expect(await body(page).innerText()).toContain(`"status": "completed"`);
      expect(await page.locator("#advice").textContent()).toBe("");
    });
  });
});

describe("a response", () => {
  test("never stands under another one's result, however many numbers it has, and can be indented", async () => {
    const id = await insertRunBy(site.stack.database, {
      status: "completed",
      completed_at: "2036-01-01T00:00:00Z",
      task_input: `{"numbers":[${"1,".repeat(160_000)}1]}`,
    });
    const { body: big } = await (async () => {
      const headers = { authorization: `Bearer ${await fetchToken("owner")}` };
      return { body: await (await fetch(`${site.stack.url}/api/crew-runs/${id}`, { headers })).text() };
    })();
    expect(big.length).toBeGreaterThan(300_000);
    await visitAsOwner(async (page) => {
      expect(await send(page, OWN)).toMatch(/^200/);
      expect(await send(page, id)).toMatch(/^200/);
      const shown = (await body(page).textContent()) ?? "";
      expect(shown).toContain(id);
      expect(shown).not.toContain(OWN);
      expect(shown.startsWith(`{\n  "id": "`)).toBe(true);
      expect(shown.replaceAll(/\s/g, "")).toBe(big.replaceAll(/\s/g, ""));
      await page.getByLabel("Indent").uncheck();
      expect(await body(page).textContent()).toBe(big);
    });
  });

  test("that isn't JSON is shown as it came", async () => {
    const html = "<html><p>error code: 1010, [blocked]</p></html>";
    const use = async (page: Page) => {
      await page.route("**/api/**", async (route) =>
        route.fulfill({ status: 403, contentType: "text/html", body: html }),
      );
      expect(await send(page, OWN)).toMatch(/^403/);
      expect(await body(page).textContent()).toBe(html);
    };
    await site.visit("/docs", use, { expectedMessages: [REFUSED] });
  });

  test("goes once the form describes another request: dimmed, with its own curl line", async () => {
    await visitAsOwner(async (page) => {
      await send(page, OWN);
      const [stale, sent] = [page.locator("#response.stale"), page.locator("#sent-curl")];
      expect(await sent.isVisible()).toBe(false);
      await page.getByLabel("Run id").fill(RUNNING);
      expect(await stale.count()).toBe(1);
      expect(await sent.innerText()).toContain(OWN);
      expect(await page.locator("#request pre:visible").textContent()).toContain(RUNNING);
      await page.getByLabel("Run id").fill(OWN);
      expect(await stale.count()).toBe(0);
      await tokenField(page).fill(await fetchToken("admin"));
      expect(await stale.count()).toBe(1);
      await waitBox(page).check();
      expect(await send(page)).toMatch(/^200/);
      expect(await stale.count()).toBe(0);
    });
  });

  test("that doesn't come takes the earlier one away", async () => {
    const use = async (page: Page) => {
      await tokenField(page).fill(await fetchToken("owner"));
      expect(await send(page, OWN)).toMatch(/^200/);
      await page.route("**/api/**", async (route) => route.abort("connectionrefused"));
      expect(await send(page)).toBe("No response: is the service up?");
      expect(await body(page).isVisible()).toBe(false);
    };
    await site.visit("/docs", use, { expectedMessages: [NO_CONNECTION] });
  });

  test("has a line: status, time, size, where the run came from, and the database's part", async () => {
    const id = await insertRunBy(site.stack.database, {
      status: "completed",
      completed_at: "2036-01-01T00:00:00Z",
      result: "x".repeat(1_000),
    });
    await visitAsOwner(async (page) => {
      expect(await send(page, id)).toMatch(
        /^200 OK [\d.]+ m?s · 1\.\d KB · read from the database · database [\d.]+ m?s$/,
      );
      expect(await send(page)).toMatch(/^200 OK [\d.]+ m?s · 1\.\d KB · cached in this isolate$/);
    });
    const describe = (bytes: number, milliseconds: number) => {
      const headers = new Headers({ "cache-status": "crew-runs; hit; detail=data-center" });
      const words = describeResult({ bytes, milliseconds, headers } as Parameters<typeof describeResult>[0]);
      return words.join(" · ").replaceAll("\u00A0", " ");
    };
    expect(describe(999, 3)).toBe("3 ms · 999 B · cached in this data center");
    expect(describe(7_000_300, 30_121)).toBe("30.1 s · 7.0 MB · cached in this data center");
    expect(describe(999_949, 999)).toBe("999 ms · 999.9 KB · cached in this data center");
    expect(describe(999_950, 1_000)).toBe("1.0 s · 1.0 MB · cached in this data center");
  });

  test("can be asked for again with its ETag: a 304 says that the copy is current", async () => {
    await visitAsOwner(async (page) => {
      await send(page, OWN);
      await button(page, "Send again with this ETag").click();
      await page.getByText("304 Not Modified").waitFor();
      await page.getByText("Your copy is current: the run hasn't changed.").waitFor();
      expect(await body(page).isVisible()).toBe(false);
      expect(await page.locator("#request pre:visible").innerText()).toMatch(/If-None-Match: "[\w-]+"/);
      expect(await page.locator("#response.stale").count()).toBe(0);
      await button(page, "Send again").click();
      await page.getByText("304 Not Modified").waitFor();
      await page.getByRole("checkbox", { name: /If-None-Match/ }).uncheck();
      expect(await send(page)).toMatch(/^200/);
      // The tag is not sent for another run.
      await button(page, "Send again with this ETag").click();
      await page.getByText("304 Not Modified").waitFor();
      expect(await send(page, PENDING)).toMatch(/^200/);
      expect(await page.locator("#request pre:visible").innerText()).not.toContain("If-None-Match");
    });
  });

  test("of an unfinished run counts Retry-After down, and can be asked for again at any time", async () => {
    const id = await insertRunBy(site.stack.database, { created_at: new Date(Date.now() - 600_000).toISOString() });
    await visitAsOwner(async (page) => {
      await send(page, id);
      const readSeconds = async () =>
        Number(/send again in (\d+)\ss/.exec((await page.locator("#advice").textContent()) ?? "")?.[1] ?? Number.NaN);
      const first = await readSeconds();
      expect(first).toBeGreaterThan(4);
      await expect.poll(readSeconds, PATIENCE).toBeLessThan(first);
      await updateRunBy(site.stack.database, id, FINISH);
      await button(page, "Send again").click();
      await body(page).getByText(`"completed"`).waitFor();
      expect(await page.locator("#advice").textContent()).toBe("");
      expect(await page.evaluate(() => document.activeElement?.id)).toBe("response");
    });
  });

  test("with status 401 shows the challenge's description and offers to log in again", async () => {
    const use = async (page: Page) => {
      expect(await send(page, OWN)).toMatch(/^401 Unauthorized/);
      await panel(page).getByText("No access token was sent.").waitFor();
      await tokenField(page).fill("opaque");
      expect(await send(page)).toMatch(/^401 Unauthorized/);
      await panel(page).getByText("The access token is malformed.").waitFor();
      await panel(page).getByRole("button", { name: "Log in again" }).click();
      await button(page, "owner").click();
      await session(page).getByText("owner").waitFor();
      expect(await send(page)).toMatch(/^200/);
    };
    await site.visit("/docs", use, { expectedMessages: [REFUSED, REFUSED] });
  });

  test("with an error has its meaning once, and a link to its explanation", async () => {
    const unavailable = (await collectFailureResponses()).find(({ body: { code } }) => code === "database_unavailable");
    const use = async (page: Page) => {
      await page.route("**/api/**", async (route) =>
        route.fulfill({ status: 503, headers: unavailable?.headers ?? {}, json: unavailable?.body }),
      );
      expect(await send(page, OWN)).toMatch(/^503 Service Unavailable/);
      const advice = (await page.locator("#response p.next").first().innerText()).replaceAll(/\s+/g, " ");
      expect(advice).toMatch(/^database_unavailable: .*\. Send again in \d s\.$/);
      expect(advice.match(/again/g)?.length).toBe(1);
      await panel(page).getByRole("link", { name: "database_unavailable" }).click();
      await page.waitForURL("**/docs/errors#database_unavailable");
      await page.locator("tr", { has: page.locator("#database_unavailable:target") }).waitFor();
    };
    await site.visit("/docs", use, { expectedMessages: [REFUSED] });
  });

  test("of an example on the page is the run that its id finds", async () => {
    await visitAsOwner(async (page) => {
      for (const state of ["completed", "running", "pending", "failed"]) {
        const example = (await page.locator(`#runs [aria-label^="${state}, "] code`).textContent()) ?? "";
        const [, id = ""] = /"id": "([^"]+)"/.exec(example) ?? [];
        expect(await send(page, id)).toMatch(/^200/);
        expect((await body(page).textContent())?.replaceAll(/\s/g, "")).toBe(example.replaceAll(/\s/g, ""));
      }
    });
  });
});

test.each(["light", "dark"] as const)("every state is accessible and fits, %s", async (colorScheme) => {
  const { issuer } = site.stack.authorizationServer;
  const use = async (page: Page) => {
    const check = async (state: string) => {
      for (const viewport of [LOW, NARROW]) {
        await page.setViewportSize(viewport);
        expect(await findViolations(page), `${state}, ${viewport.width}`).toEqual([]);
        expect(await findMisplacedTexts(page), `${state}, ${viewport.width}`).toEqual([]);
      }
      await page.setViewportSize(LOW);
      await takeScreenshot(page, `${state}-${colorScheme}`);
    };
    await check("idle");
    await send(page, OWN);
    await check("401");
    await tokenField(page).fill(await fetchToken("owner"));
    await send(page, OWN);
    await page.locator("#response summary").click();
    await check("200");
    await page.getByLabel("Run id").fill(PENDING);
    await check("stale");
    await send(page);
    await button(page, "Send again with this ETag").click();
    await page.getByText("304 Not Modified").waitFor();
    await check("304");
    const release = await hold(page);
    await button(page, "Send").click();
    await check("sending");
    await release();
    await waitBox(page).check();
    const finish = await hold(page);
    await button(page, "Send").click();
    await check("waiting");
    await button(page, "Cancel").click();
    await check("canceled");
    await finish();
    await page.route("**/api/**", async (route) =>
      route.fulfill({ status: 503, headers: { "retry-after": "5" }, json: { detail: "", code: "overloaded" } }),
    );
    await send(page);
    await check("503");
    await page.route(`${issuer}/**`, async (route) => route.abort());
    await page.locator("#log-in").click();
    await page.getByText("doesn't respond.").waitFor();
    await check("login-failed");
  };
  const expectedMessages = [REFUSED, REFUSED, ...Array(4).fill(NO_CONNECTION)];
  await site.visit("/docs#try-it", use, { colorScheme, viewport: LOW, expectedMessages });
});
