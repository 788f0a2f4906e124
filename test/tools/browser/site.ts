// What the browser's tests share: the local stack and Chromium for the tests of a file, and its pages. A test fails if its page
// writes something unexpected to the console, be it a violation of its content security policy or an uncaught error, or sends
// a request to another server than the Worker or the issuer.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { type Browser, type BrowserContextOptions, type Page, chromium } from "playwright-core";
import { afterAll, beforeAll, expect, onTestFinished } from "vitest";
import { type LocalStack, startLocalStack } from "../../../dev/local-stack.ts";

const AXE = readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const STEP_TIMEOUT_MS = 15_000;
/** Debian's Chromium. Playwright turns the back-forward cache off, which readers have. */
const CHROMIUM = { executablePath: "/usr/bin/chromium", ignoreDefaultArgs: ["--disable-back-forward-cache"] };
const WIDE = { width: 1280, height: 900 };
export const NARROW = { width: 375, height: 812 };

interface PageOptions extends BrowserContextOptions {
  /** What the console may say. */
  expectedMessages?: RegExp;
}

export let stack: LocalStack;
let browser: Browser;

beforeAll(async () => {
  [stack, browser] = await Promise.all([startLocalStack(), chromium.launch(CHROMIUM)]);
});

afterAll(async () => {
  await browser?.close();
  await stack?.close();
});

/** Opens a page for the rest of the test. */
export async function open(path: string, { expectedMessages, ...options }: PageOptions = {}): Promise<Page> {
  const context = await browser.newContext({ viewport: WIDE, reducedMotion: "reduce", ...options });
  const messages: string[] = [];
  const origins = new Set<string>();
  context.on("console", (message) => messages.push(message.text()));
  context.on("weberror", (error) => messages.push(String(error.error())));
  context.on("request", (request) => origins.add(new URL(request.url()).origin));
  onTestFinished(async () => {
    await context.close();
    expect(messages.filter((text) => !expectedMessages?.test(text))).toEqual([]);
    expect([stack.url, stack.authorizationServer.issuer]).toEqual(expect.arrayContaining([...origins]));
  });
  const page = await context.newPage();
  page.setDefaultTimeout(STEP_TIMEOUT_MS);
  await page.goto(`${stack.url}${path}`);
  return page;
}

/** By axe's rules: in a narrow window and dark colors, and in a wide one and light colors, in which it leaves the page. */
export async function expectAccessible(page: Page, state = ""): Promise<void> {
  await page.evaluate(await AXE);
  for (const [colorScheme, viewport] of [
    ["dark", NARROW],
    ["light", WIDE],
  ] as const) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize(viewport);
    const violations = await page.evaluate<string[]>(
      `axe.run({ preload: false }).then(({ violations }) =>
        violations.map(({ id, nodes }) => id + " " + nodes.map(({ html }) => html).join(" ")))`,
    );
    expect(violations, `${state} ${colorScheme}`).toEqual([]);
  }
}
