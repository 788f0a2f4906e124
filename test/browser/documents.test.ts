// The documents in Chromium, as readers have them: wide and narrow, light and dark, with and without JavaScript; and *Try it*
// against the local stack. Leaves screenshots in dist/screenshots/ for somebody to look at.
import { execFile } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { promisify } from "node:util";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { PAGES } from "../../docs/pages.ts";
import { SEEDED_RUNS } from "../../dev/seeded-runs.ts";
import { type ServedStack, startServedStack } from "../../dev/served-stack.ts";
import { type Record as PageRecord, launchChromium, watch } from "./chromium.ts";

const SCREENSHOTS = join(import.meta.dirname, "../../dist/screenshots");
const START_TIMEOUT_MS = 60_000;
const STEP_TIMEOUT_MS = 15_000;
const MAX_TRANSFERRED_BYTES = 100_000;
const [, ...GUIDES] = Object.keys(PAGES);
const PATHS = ["/docs", ...GUIDES.map((name) => `/docs/${name}`)];
const [OWN = "", FOREIGN = ""] = ["owner", "stranger"].map(
  (owner) => SEEDED_RUNS.find(({ ownerId }) => ownerId === owner)?.id,
);
const EXACT = "77777777-7777-4777-8777-777777777777";

const execute = promisify(execFile);
let served: ServedStack;
let browser: Browser;
let axe: string;

beforeAll(async () => {
  await mkdir(SCREENSHOTS, { recursive: true });
  axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  served = await startServedStack({ signal: AbortSignal.timeout(START_TIMEOUT_MS) });
  browser = await launchChromium();
});

afterAll(async () => {
  await browser?.close();
  await served?.close();
});

/** Opens the page, does something with it, and fails if the console has another message than those. */
async function visit(
  path: string,
  options: BrowserContextOptions,
  use: (page: Page, record: PageRecord) => Promise<void>,
  expectedMessages: RegExp[] = [],
): Promise<void> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const record = watch(context);
  const page = await context.newPage();
  page.setDefaultTimeout(STEP_TIMEOUT_MS);
  await page.goto(`${served.url}${path}`, { waitUntil: "networkidle" });
  await use(page, record);
  await context.close();
  expect(record.messages.length, record.messages.join("\n")).toBe(expectedMessages.length);
  for (const [index, expected] of expectedMessages.entries()) expect(record.messages[index] ?? "").toMatch(expected);
  const known = [served.url, served.stack.authorizationServer.issuer];
  const strange = [...record.origins].filter((origin) => !known.includes(origin));
  expect(strange).toEqual([]);
}

for (const path of PATHS) {
  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of [1280, 390]) {
      test(`${path} is accessible and fits, ${colorScheme}, ${width} pixels wide`, async () => {
        await visit(path, { colorScheme, viewport: { width, height: 900 } }, async (page) => {
          // What is folded up is looked at as well.
          await page.evaluate(`for (const details of document.querySelectorAll("details")) details.open = true`);
          await page.evaluate(axe);
          const findings = await page.evaluate<string[]>(
            `axe.run({ preload: false }).then(({ violations }) =>
              violations.map(({ id, nodes }) => id + " " + nodes.map(({ html }) => html).join(" ")))`,
          );
          expect(findings).toEqual([]);
          expect(await page.evaluate("document.documentElement.scrollWidth - innerWidth")).toBe(0);
          const name = path.slice(1).replace("/", "-");
          await page.reload({ waitUntil: "networkidle" });
          await page.screenshot({ path: join(SCREENSHOTS, `${name}-${colorScheme}-${width}.png`), fullPage: true });
        });
      });
    }
  }
}

test("the reference weighs less than 100 KB", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  let transferred = 0;
  session.on("Network.loadingFinished", ({ encodedDataLength }) => (transferred += encodedDataLength));
  await session.send("Network.enable");
  await page.goto(`${served.url}/docs`, { waitUntil: "networkidle" });
  await context.close();
  console.log(`/docs: ${transferred} bytes`);
  expect(transferred > 5_000 && transferred < MAX_TRANSFERRED_BYTES, `${transferred} bytes`).toBe(true);
});

test("without JavaScript everything but Try it is there, and tabs work", async () => {
  await visit("/docs", { javaScriptEnabled: false }, async (page) => {
    await page.getByText("The form needs JavaScript").waitFor();
    expect(await page.locator("#try").isVisible()).toBe(false);
    expect(await page.getByText("urllib.request.urlopen").isVisible()).toBe(false);
    await page.locator("label", { hasText: "Python" }).first().click();
    await page.getByText("urllib.request.urlopen").waitFor();
    await page.locator("label", { hasText: "failed" }).click();
    await page.getByText("The search found no such city.").waitFor();
    await page.locator("summary", { hasText: "run_not_found" }).click();
    await page.getByText(`"Run not found"`).waitFor();
  });
});

test("the samples work as they stand on the page", async () => {
  await visit("/docs", {}, async (page) => {
    const token = await served.stack.authorizationServer.fetchToken("owner");
    const sample = async (label: string) =>
      page.locator(`.tabs label:text-is("${label}") + pre code`).first().textContent();
    const run = async (command: string, flag: string, label: string) => {
      const env = { ...process.env, TOKEN: token };
      return (await execute(command, [flag, (await sample(label)) ?? ""], { env })).stdout;
    };
    expect(await run("sh", "-c", "curl")).toMatch(new RegExp(`^\\{"id":"${OWN}"`));
    expect(await run(process.execPath, "--eval", "JavaScript")).toMatch(/^completed # Trams/);
    expect(await run("python3", "-c", "Python")).toMatch(/^completed # Trams/);
  });
});

/** Logs in by the issuer's page. */
async function logIn(page: Page, user: string): Promise<void> {
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("button", { name: user, exact: true }).click();
  await page.getByText(`Logged in as ${user}.`).waitFor();
}

/** Asks for the run, and gives the answer's status as the page shows it. */
async function send(page: Page, id: string): Promise<string> {
  await page.getByLabel("Run id").fill(id);
  await page.getByRole("button", { name: "Send" }).click();
  const message = page.getByText(/^\d{3} after \d+ ms\.$/);
  await message.waitFor();
  return (await page.locator("#status").textContent()) ?? "";
}

test("owner and stranger log in and see their own run, and a 404 in place of the other's; an admin sees both", async () => {
  const use = async (page: Page, record: PageRecord) => {
    await logIn(page, "owner");
    expect(page.url()).toBe(`${served.url}/docs#try-it`);
    expect(await page.evaluate("sessionStorage.length + localStorage.length + document.cookie.length")).toBe(0);
    expect(await send(page, OWN)).toMatch(/^200/);
    await page.screenshot({ path: join(SCREENSHOTS, "try-it.png") });
    const origins = [served.url, served.stack.authorizationServer.issuer];
    expect([...record.origins].toSorted()).toEqual(origins.toSorted());
    expect(await send(page, FOREIGN)).toMatch(/^404/);
    expect(await page.locator("#body").innerText()).toMatch(/"code": "run_not_found"/);
    await logIn(page, "stranger");
    expect(await send(page, OWN)).toMatch(/^404/);
    expect(await send(page, FOREIGN)).toMatch(/^200/);
    await logIn(page, "admin");
    expect(await send(page, OWN)).toMatch(/^200/);
    expect(await send(page, FOREIGN)).toMatch(/^200/);
    await page.reload();
    expect(await page.getByLabel("Access token").inputValue()).toBe("");
  };
  const refused = /^Failed to load resource: the server responded with a status of 404/;
  await visit("/docs", {}, use, [refused, refused]);
});

test("a pasted token reads a run, which is shown digit by digit, with its headers and a curl line without the token", async () => {
  const token = await served.stack.authorizationServer.fetchToken("owner");
  const sent = await fetch(`${served.url}/api/crew-runs/${EXACT}`, { headers: { authorization: `Bearer ${token}` } });
  const body = await sent.text();
  await visit("/docs", { viewport: { width: 390, height: 844 } }, async (page) => {
    await page.getByLabel("Access token").fill(token);
    expect(await send(page, EXACT)).toMatch(/^200/);
    const shown = page.locator("#body");
    const indented = (await shown.textContent()) ?? "";
    expect(indented).toMatch(/\n    "long_decimal": 3\.14159265358979323846264338327950288419716939937510,\n/);
    const withoutBlanks = (text: string) => text.replaceAll(/\s/g, "");
    expect(withoutBlanks(indented)).toBe(withoutBlanks(body));
    await page.getByLabel("Indent").uncheck();
    expect(await shown.textContent()).toBe(body);
    const headers = (await page.locator("#answer-headers").textContent()) ?? "";
    expect(headers).toMatch(/^cache-control: private, max-age=3600$/m);
    const curl = (await page.locator("#curl").textContent()) ?? "";
    expect(curl).toBe(`curl -i -H "Authorization: Bearer $TOKEN" \\\n  '${served.url}/api/crew-runs/${EXACT}'`);
    await page.screenshot({ path: join(SCREENSHOTS, "try-it-narrow.png"), fullPage: true });
    const { stdout } = await execute("sh", ["-c", curl], { env: { ...process.env, TOKEN: token } });
    expect(stdout.endsWith(body)).toBe(true);
  });
});

test("a return from the issuer that nobody asked for, or with another state, gives no token", async () => {
  await visit("/docs?code=x&state=y", {}, async (page) => {
    expect(page.url()).toBe(`${served.url}/docs#try-it`);
    expect(await page.locator("#message").textContent()).toBe("");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("button", { name: "owner" }).waitFor();
    await page.goto(`${served.url}/docs?code=x&state=y&iss=${served.stack.authorizationServer.issuer}`);
    await page.getByText(`unexpected "state" response parameter value`).waitFor();
    expect(await page.getByLabel("Access token").inputValue()).toBe("");
  });
});

test("where the issuer cannot be reached, the page says so and takes a pasted token", async () => {
  const { issuer, fetchToken } = served.stack.authorizationServer;
  const token = await fetchToken("owner");
  const use = async (page: Page) => {
    await page.route(`${issuer}/**`, async (route) => route.abort());
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByText(`The metadata of ${issuer} cannot be read from a browser.`).waitFor();
    await page.getByLabel("Access token").fill(token);
    expect(await send(page, OWN)).toMatch(/^200/);
  };
  await visit("/docs", {}, use, [/net::ERR_FAILED/, /net::ERR_FAILED/]);
});
