// What the browser's tests share: the local stack and Chromium for the tests of a file, and visits to its pages. A visit fails
// if a page writes something unexpected to the console, be it a violation of its content security policy or an uncaught error,
// or sends a request to another server than the Worker or the issuer.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { type Browser, type BrowserContextOptions, type Page, chromium } from "playwright-core";
import { afterAll, beforeAll, expect } from "vitest";
import { type LocalStack, startLocalStack } from "../../../dev/local-stack.ts";

const AXE = readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const START_TIMEOUT_MS = 30_000;
const STEP_TIMEOUT_MS = 15_000;
/** Debian's Chromium, without what it would ask of the network by itself. */
const CHROMIUM = {
  executablePath: "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
  // Playwright turns the back-forward cache off.
  ignoreDefaultArgs: ["--disable-back-forward-cache"],
  timeout: START_TIMEOUT_MS,
};
const WIDE = { width: 1280, height: 900 };
export const NARROW = { width: 375, height: 812 };

interface VisitOptions extends BrowserContextOptions {
  /** What the console may say. */
  expectedMessages?: RegExp;
}

export interface Site {
  readonly stack: LocalStack;
  /** Opens the page and does something with it. */
  visit(path: string, use: (page: Page) => Promise<void>, options?: VisitOptions): Promise<void>;
}

/** Starts a site before the tests of the file, and ends it after them. */
export function provideSite(): Site {
  let stack: LocalStack;
  let browser: Browser;

  beforeAll(async () => {
    [stack, browser] = await Promise.all([startLocalStack(), chromium.launch(CHROMIUM)]);
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.close();
  });

  const visit: Site["visit"] = async (path, use, { expectedMessages, ...options } = {}) => {
    const context = await browser.newContext({ viewport: WIDE, reducedMotion: "reduce", ...options });
    const messages: string[] = [];
    const origins = new Set<string>();
    context.on("console", (message) => messages.push(message.text()));
    context.on("weberror", (error) => messages.push(String(error.error())));
    context.on("request", (request) => origins.add(new URL(request.url()).origin));
    const page = await context.newPage();
    page.setDefaultTimeout(STEP_TIMEOUT_MS);
    await page.goto(`${stack.url}${path}`);
    await use(page);
    await context.close();
    expect(messages.filter((text) => !expectedMessages?.test(text))).toEqual([]);
    const others = [...origins].filter((origin) => ![stack.url, stack.authorizationServer.issuer].includes(origin));
    expect(others).toEqual([]);
  };

  return {
    get stack() {
      return stack;
    },
    visit,
  };
}

/** What axe finds in a narrow window and dark colors, and in a wide one and light colors, in which it leaves the page. */
export async function findViolations(page: Page): Promise<string[]> {
  await page.evaluate(await AXE);
  const found: string[] = [];
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
    found.push(...violations.map((violation) => `${colorScheme}: ${violation}`));
  }
  return found;
}
