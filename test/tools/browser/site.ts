// What the browser's tests share: the local stack and Chromium for the tests of a file, and visits to its pages.
import { mkdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, beforeAll, expect } from "vitest";
import { type LocalStack, startLocalStack } from "../../../dev/local-stack.ts";
import { type Record as PageRecord, launchChromium, watch } from "./chromium.ts";

const SCREENSHOTS = join(import.meta.dirname, "../../../dist/screenshots");
const AXE = readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const STEP_TIMEOUT_MS = 15_000;
const WIDE = { width: 1280, height: 900 };
export const LOW = { width: 1366, height: 625 };
export const NARROW = { width: 375, height: 812 };

type Visit = (
  path: string,
  use: (page: Page, record: PageRecord) => Promise<void>,
  options?: BrowserContextOptions & { expectedMessages?: RegExp[]; browser?: Browser },
) => Promise<void>;

export interface Site {
  readonly stack: LocalStack;
  readonly browser: Browser;
  /** Opens the page, does something with it, and fails if the console has another message than those, in their order. */
  visit: Visit;
}

/** Starts a site before the tests of the file, and ends it after them. `variables` are settings of the Worker. */
export function provideSite(variables: Record<string, string> = {}): Site {
  let stack: LocalStack;
  let browser: Browser;

  beforeAll(async () => {
    mkdirSync(SCREENSHOTS, { recursive: true });
    stack = await startLocalStack({ chooseSettings: () => variables });
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.close();
  });

  const visit: Visit = async (path, use, { expectedMessages = [], browser: other = browser, ...options } = {}) => {
    const context = await other.newContext({ viewport: WIDE, ...options });
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

/** What axe finds, a line for each kind. */
export async function findViolations(page: Page): Promise<string[]> {
  await page.evaluate(await AXE);
  return page.evaluate<string[]>(
    `axe.run({ preload: false }).then(({ violations }) =>
      violations.map(({ id, nodes }) => id + " " + nodes.map(({ html }) => html).join(" ")))`,
  );
}

/**
 * Each text that the window or an element cuts at its side, and each pair of texts on the same spot. What has been scrolled away is
 * left out, and so is what is only for screen readers.
 */
export async function findMisplacedTexts(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const found: string[] = [];
    const texts: { node: Node; left: number; right: number; top: number; bottom: number }[] = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode;
      const parent = node.parentElement;
      if (parent === null || !node.nodeValue?.trim() || !parent.checkVisibility()) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const rect of range.getClientRects()) {
        let { left, right, top, bottom } = rect;
        // The link to the content waits beside the window.
        if (right - left < 1 || right < 0) continue;
        const name = node.nodeValue.trim().slice(0, 40);
        for (let box: Element | null = parent; box !== null && box !== document.body; box = box.parentElement) {
          const { overflowX, overflowY, position } = getComputedStyle(box);
          if (position === "fixed") break;
          if (overflowX === "visible") continue;
          const edge = box.getBoundingClientRect();
          // The row of tabs scrolls sideways.
          const isRow = box.getAttribute("role") === "radiogroup";
          if (!isRow && (right > edge.right + 1 || left < edge.left - 1)) found.push(`cut at the side: ${name}`);
          if (overflowY === "hidden" && (bottom > edge.bottom + 2 || top < edge.top - 2)) found.push(`cut: ${name}`);
          [left, right] = [Math.max(left, edge.left), Math.min(right, edge.right)];
          [top, bottom] = [Math.max(top, edge.top), Math.min(bottom, edge.bottom)];
        }
        if (right > innerWidth + 1 || left < -1) found.push(`cut by the window: ${name}`);
        // The bar on top covers what is scrolled below it.
        const isOnTop = parent.closest("header, #rail") !== null;
        if (!isOnTop && right - left > 2 && bottom - top > 4) texts.push({ node, left, right, top, bottom });
      }
    }
    texts.sort((one, other) => one.top - other.top);
    for (const [index, one] of texts.entries()) {
      for (const other of texts.slice(index + 1)) {
        if (other.top > one.bottom) break;
        const isBelow = other.top > one.bottom - 4;
        const isBeside = other.left > one.right - 2 || other.right < one.left + 2;
        if (isBelow || isBeside || one.node === other.node) continue;
        found.push(`overlap: ${one.node.nodeValue?.slice(0, 30)} and ${other.node.nodeValue?.slice(0, 30)}`);
      }
    }
    return [...new Set(found)];
  });
}
