// The pages in Chromium: accessible wide and narrow, light and dark; usable with a keyboard, on a phone and without JavaScript; and
// their samples work as they stand there.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { EXAMPLE_ROWS } from "../../../dev/seeded-runs.ts";
import { PAGES, addressOf } from "../../../docs/pages.ts";
import { NARROW, findViolations, provideSite } from "./site.ts";

const PATHS = [...Object.keys(PAGES).map(addressOf), "/docs/nothing"];
const { id } = EXAMPLE_ROWS.completed;

const execute = promisify(execFile);
const site = provideSite();

const unfold = (page: Page) =>
  page.locator("details").evaluateAll((all) => all.forEach((details) => details.toggleAttribute("open", true)));
const chooseTab = (page: Page, label: string) => page.locator("label", { hasText: label }).first().click();
const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });

test.each(PATHS)("%s is accessible, and fits a narrow window with large letters", async (path) => {
  const use = async (page: Page) => {
    await unfold(page);
    expect(await findViolations(page)).toEqual([]);
    await page.setViewportSize({ width: 320, height: 640 });
    await page.evaluate(() => document.documentElement.style.setProperty("font-size", "24px"));
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(320);
  };
  await site.visit(path, use, { expectedMessages: /status of 404/ });
});

test("without JavaScript everything but Try it is there, tabs work, and the samples' host is explained", async () => {
  const use = async (page: Page) => {
    await page.getByText("The form needs JavaScript").waitFor();
    await page.getByText("https://api.example.com stands for the host of this page.").waitFor();
    expect(await page.locator("#try").isVisible()).toBe(false);
    await chooseTab(page, "Python");
    await page.getByText("urllib.request.urlopen").waitFor();
    await chooseTab(page, "failed");
    await page.getByText("The search found no such city.").waitFor();
  };
  await site.visit("/docs", use, { javaScriptEnabled: false });
});

test("the samples work as they stand on the page", async () => {
  await site.visit("/docs", async (page) => {
    expect(await page.getByText("api.example.com").count()).toBe(0);
    const env = { ...process.env, TOKEN: await site.stack.authorizationServer.fetchToken("owner") };
    const run = async (label: string, command: string, flag: string) => {
      const sample = await page.getByLabel(`${label}, Read a run`, { exact: true }).locator("code").textContent();
      return (await execute(command, [flag, sample ?? ""], { env })).stdout;
    };
    expect(await run("curl", "sh", "-c")).toMatch(`{"id":"${id}"`);
    expect(await run("JavaScript", process.execPath, "--eval")).toMatch(/^completed # Trams/);
    expect(await run("Python", "python3", "-c")).toMatch(/^completed # Trams/);
  });
});

test("the loop of Polling works in a browser, which is offline at first", async () => {
  const use = async (page: Page) => {
    const loop = await page.getByLabel("JavaScript, Polling", { exact: true }).locator("code").textContent();
    const token = await site.stack.authorizationServer.fetchToken("owner");
    await page.context().setOffline(true);
    const failed = page.waitForEvent("requestfailed");
    const status = page.evaluate<string>(`(async () => { ${loop?.replaceAll(/^export /gm, "")}
      return parseRun(await waitForRun("/api/crew-runs/${id}", async () => "${token}")).status;
    })()`);
    await failed;
    await page.context().setOffline(false);
    expect(await status).toBe("completed");
  };
  await site.visit("/docs/polling", use, { expectedMessages: /ERR_INTERNET_DISCONNECTED/ });
});

test("on a phone, a reader finds a section and an example, chooses a language once, and copies code", async () => {
  const use = async (page: Page) => {
    const rail = page.locator("#rail");
    const shown = page.locator("#runs pre:visible code");
    const chosen = page.locator('label:has-text("Go") input:checked');
    const copy = async (name: string) => {
      await button(page, name).click();
      await button(page, "Copied").last().waitFor();
      return page.evaluate(() => navigator.clipboard.readText());
    };
    // The address names it.
    expect(await shown.textContent()).toContain(`"status": "failed"`);
    await page.locator(".states").getByRole("link", { name: "pending", exact: true }).click();
    expect(await shown.textContent()).toContain(`"status": "pending"`);

    expect(await rail.isVisible()).toBe(false);
    await button(page, "Jump to").click();
    await rail.getByRole("link", { name: "Parameters" }).click();
    await rail.waitFor({ state: "hidden" });
    await expect.poll(() => rail.locator(".sections [aria-current]").allTextContents()).toEqual(["Parameters"]);

    expect(await copy("Copy: the address")).toBe(`${site.stack.url}/api/crew-runs/{run_id}`);
    await chooseTab(page, "Go");
    expect(await copy("Copy: Read a run")).toMatch(/http\.NewRequest/);
    await page.evaluate(() => Object.assign(navigator.clipboard, { writeText: () => Promise.reject(new Error()) }));
    await button(page, "Copy: Read a run").click();
    await button(page, "Not copied: selected").waitFor();
    expect(await page.evaluate(() => String(getSelection()))).toMatch(/http\.NewRequest/);

    const samples = await chosen.count();
    expect(samples).toBeGreaterThan(1);
    await page.goto(`${site.stack.url}/docs/polling`);
    expect(await chosen.count()).toBeGreaterThan(0);
  };
  const permissions = ["clipboard-read", "clipboard-write"];
  await site.visit("/docs#runs-failed", use, { permissions, viewport: NARROW });
});
