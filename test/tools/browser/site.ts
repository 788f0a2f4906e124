// What the browser's tests share: the local stack and Chromium for the tests of a file, and visits to its pages.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, beforeAll, expect } from "vitest";
import { type LocalStack, startLocalStack } from "../../support/node/local-stack.ts";
import { type Record as PageRecord, launchChromium, watch } from "./chromium.ts";

const SCREENSHOTS = join(import.meta.dirname, "../../../dist/screenshots");
const STEP_TIMEOUT_MS = 15_000;
const WIDE = { width: 1280, height: 900 };
export const NARROW = { width: 390, height: 844 };

type Visit = (
  path: string,
  use: (page: Page, record: PageRecord) => Promise<void>,
  options?: BrowserContextOptions & { expectedMessages?: RegExp[] },
) => Promise<void>;

export interface Site {
  readonly stack: LocalStack;
  readonly browser: Browser;
  /** Opens the page, does something with it, and fails if the console has another message than those. */
  visit: Visit;
}

/** Starts a site before the tests of the file, and ends it after them. `variables` are settings of the Worker. */
export function provideSite(variables: Record<string, string> = {}): Site {
  let stack: LocalStack;
  let browser: Browser;

  beforeAll(async () => {
    mkdirSync(SCREENSHOTS, { recursive: true });
    stack = await startLocalStack(variables);
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.close();
  });

  const visit: Visit = async (path, use, { expectedMessages = [], ...options } = {}) => {
    const context = await browser.newContext({ viewport: WIDE, ...options });
    const record = watch(context);
    const page = await context.newPage();
    page.setDefaultTimeout(STEP_TIMEOUT_MS);
    await page.goto(`${stack.url}${path}`, { waitUntil: "networkidle" });
    await use(page, record);
    await context.close();
    expect(record.messages.length, record.messages.join("\n")).toBe(expectedMessages.length);
    for (const [index, expected] of expectedMessages.entries()) expect(record.messages[index]).toMatch(expected);
    const known = [stack.url, stack.authorizationServer.issuer];
    expect([...record.origins].filter((origin) => !known.includes(origin))).toEqual([]);
  };

  return {
    get stack() {
      return stack;
    },
    get browser() {
      return browser;
    },
    visit,
  };
}

/** For people. */
export async function takeScreenshot(page: Page, name: string, fullPage = false): Promise<void> {
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage });
}
