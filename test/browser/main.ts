// `npm run test:browser`: the API reference in Chromium, as somebody uses it: sign in by authorization code and PKCE, try a
// run, see the record. Guarantees that nothing was asked of another host, that the content security policy was never hit,
// and that nothing is left running. Screenshots go to dist/screenshots/.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Browser, type BrowserContext, type Page, chromium } from "playwright-core";
import { seededRuns } from "../../dev/seed.ts";
import { type ServedStack, startServedStack } from "../../dev/served-stack.ts";

const executablePath = "/usr/bin/chromium";
const screenshots = join(import.meta.dirname, "../../dist/screenshots");
const stepTimeoutMs = 15_000;
const startTimeoutMs = 60_000;

const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** What went wrong in any window, whoever caused it. */
interface Faults {
  list: string[];
  hosts: Set<string>;
}

/** Debian's own package, and only where whoever runs this could install it anyway. */
function ensureChromium(): void {
  if (existsSync(executablePath)) return;
  if (process.getuid?.() !== 0 || !existsSync("/etc/debian_version")) {
    throw new Error(`${executablePath} is missing: install Chromium`);
  }
  console.log("installing chromium (apt-get install -y chromium)");
  execFileSync("apt-get", ["install", "-y", "chromium"], { stdio: ["ignore", "ignore", "inherit"], timeout: 600_000 });
}

function watch(context: BrowserContext): Faults {
  const faults: Faults = { list: [], hosts: new Set() };
  context.on("request", (request) => {
    if (/^https?:/.test(request.url())) faults.hosts.add(new URL(request.url()).host);
  });
  context.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) faults.list.push(`${message.type()}: ${message.text()}`);
  });
  context.on("weberror", (error) => faults.list.push(String(error.error())));
  return faults;
}

/** Presses the page's Authorize, signs in as `user` in the window that opens, and closes the dialogue. */
async function authorize(page: Page, user: string): Promise<void> {
  await page.getByRole("button", { name: "Authorize" }).first().click();
  const dialogue = page.locator(".modal-ux");
  const oauth2 = dialogue.locator(".auth-container").filter({ hasText: "authorizationCode with PKCE" });
  await page.screenshot({ path: join(screenshots, "authorize.png") });
  const [popup] = await Promise.all([page.waitForEvent("popup"), oauth2.locator(".btn.authorize").click()]);
  await Promise.all([popup.waitForEvent("close"), popup.getByRole("button", { name: user, exact: true }).click()]);
  await oauth2.getByText("Logout").waitFor();
  await dialogue.locator(".close-modal").click();
}

/** Executes the first operation with its example, and gives what the page shows for an answer. */
async function tryRun(page: Page): Promise<{ status: string; body: string }> {
  const operation = page.locator("[id$=-getCrewRun]");
  await operation.getByRole("button", { name: "Execute" }).click();
  const answer = operation.locator(".live-responses-table .response").first();
  await answer.waitFor();
  const status = await answer.locator(".response-col_status").innerText();
  const body = await answer.locator(".highlight-code").first().innerText();
  return { status, body };
}

async function run(page: Page, { url, stack }: ServedStack): Promise<void> {
  const faults = watch(page.context());
  await page.goto(`${url}/docs`);
  await page.getByRole("button", { name: "/api/crew-runs/{run_id}" }).first().click();
  await page.getByRole("button", { name: "Execute" }).waitFor();
  await page.screenshot({ path: join(screenshots, "reference.png"), fullPage: true });

  await authorize(page, "owner");
  const { status, body } = await tryRun(page);
  assert.match(status, /^200/);
  assert.match(body, new RegExp(`"id": "${seededRuns[0]?.id}"`));
  assert.match(body, /"owner_id": "owner"/);
  await page.screenshot({ path: join(screenshots, "run.png"), fullPage: true });

  await page.setViewportSize({ width: 390, height: 844 });
  const overflow = await page.evaluate<number>("document.documentElement.scrollWidth - innerWidth");
  assert.equal(overflow, 0, "a narrow window scrolls sideways");
  await page.screenshot({ path: join(screenshots, "narrow.png"), fullPage: true });

  assert.deepEqual(faults.list, []);
  const known = [url, stack.authorizationServer.issuer].map((address) => new URL(address).host);
  assert.deepEqual([...faults.hosts].toSorted(), known.toSorted());
}

ensureChromium();
await mkdir(screenshots, { recursive: true });
const startedAt = performance.now();
const served = await startServedStack({ signal: AbortSignal.timeout(startTimeoutMs) });
let browser: Browser | undefined;
try {
  browser = await chromium.launch({ executablePath, args: flags, timeout: stepTimeoutMs });
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  page.setDefaultTimeout(stepTimeoutMs);
  await run(page, served);
} finally {
  await browser?.close();
  await served.close();
}
console.log(`the API reference works (${((performance.now() - startedAt) / 1000).toFixed(1)} s)`);
process.exit();
