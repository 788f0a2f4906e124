// The pages in Chromium: accessible wide and narrow, light and dark; usable on a phone and without JavaScript; and their samples
// work as they stand there. Leaves the samples' other languages to ../clients.test.ts.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { EXAMPLE_ROWS } from "../../../dev/seeded-runs.ts";
import { PAGES, addressOf } from "../../../docs/pages.ts";
import { NARROW, expectAccessible, open, stack } from "./site.ts";

const PATHS = [...Object.keys(PAGES).map(addressOf), "/docs/nothing"];
const { id } = EXAMPLE_ROWS.completed;

const execute = promisify(execFile);

const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });
const chooseTab = (page: Page, label: string) => page.locator("label", { hasText: label }).first().click();
const readSample = async (page: Page, name: string) =>
  (await page.getByLabel(name, { exact: true }).locator("code").textContent()) ?? "";

test.each(PATHS)("%s is accessible, and fits a narrow window with large letters", async (path) => {
  const page = await open(path, { expectedMessages: /status of 404/ });
  await page.locator("details").evaluateAll((all) => all.forEach((details) => details.toggleAttribute("open", true)));
  await expectAccessible(page);
  await page.setViewportSize({ width: 320, height: 640 });
  await page.evaluate(() => document.documentElement.style.setProperty("font-size", "24px"));
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(320);
});

test("without JavaScript everything but Try it is there, tabs work, and the samples' host is explained", async () => {
  const page = await open("/docs", { javaScriptEnabled: false });
  await page.getByText("The form needs JavaScript").waitFor();
  await page.getByText("https://api.example.com stands for the host of this page.").waitFor();
  expect(await page.locator("#try").isVisible()).toBe(false);
  expect(await page.getByText("Log in, or paste").isVisible()).toBe(false);
  await chooseTab(page, "Python");
  await page.getByText("urllib.request.urlopen").waitFor();
  await page.setViewportSize(NARROW);
  await page.locator("#rail").getByRole("link", { name: "Parameters" }).click();
  // A click fails if something covers the heading.
  await page.getByRole("heading", { name: "Parameters" }).click();
});

test("the samples work as they stand on the page: a program's with its host, and the loop of Polling in a browser", async () => {
  const page = await open("/docs");
  expect(await page.getByText("api.example.com").count()).toBe(0);
  expect(await page.locator(".operation code").textContent()).toBe(`${stack.url}/api/crew-runs/{run_id}`);
  const token = await stack.authorizationServer.fetchToken("owner");
  const program = await readSample(page, "curl, Read a run");
  expect((await execute("sh", ["-c", program], { env: { ...process.env, TOKEN: token } })).stdout).toMatch(
    `{"id":"${id}"`,
  );
  await page.goto(`${stack.url}/docs/polling`);
  const loop = await readSample(page, "JavaScript, Polling");
  const status = await page.evaluate<string>(`(async () => { ${loop.replaceAll(/^export /gm, "")}
    return parseRun(await waitForRun("/api/crew-runs/${id}", async () => "${token}")).status;
  })()`);
  expect(status).toBe("completed");
});

test("a state shows its example beside the text, which stays where it is, and adds no step to the way back", async () => {
  const page = await open("/docs");
  for (const state of ["pending", "running", "failed"]) {
    await page.locator(".states").getByRole("link", { name: state }).click();
    expect(await page.locator("#runs pre:visible").textContent()).toContain(`"status": "${state}"`);
    expect(page.url()).toBe(`${stack.url}/docs#runs-${state}`);
    expect(await page.evaluate(() => scrollY)).toBe(0);
  }
  await page.goBack();
  expect(page.url()).toBe("about:blank");
});

test("a language is kept for the next page, even if the reader chooses the one that is shown", async () => {
  const page = await open("/docs");
  await chooseTab(page, "curl");
  await page.goto(`${stack.url}/docs/polling`);
  expect(await page.getByLabel("curl", { exact: true }).first().isChecked()).toBe(true);
});

test("on a phone, a reader finds an example and a section, chooses a language once, and copies code", async () => {
  const page = await open("/docs#runs-failed", { viewport: NARROW });
  const example = page.locator("#runs pre:visible code");
  expect(await example.textContent()).toContain(`"status": "failed"`);
  await page.locator(".states").getByRole("link", { name: "pending", exact: true }).click();
  expect(await example.textContent()).toContain(`"status": "pending"`);

  const rail = page.locator("#rail");
  await button(page, "Jump to").click();
  await rail.getByRole("link", { name: "Parameters" }).click();
  await rail.waitFor({ state: "hidden" });

  await chooseTab(page, "Go");
  // A browser may forbid the clipboard. Try it copies the token into it.
  await page.evaluate(() => Object.assign(navigator.clipboard, { writeText: () => Promise.reject(new Error()) }));
  await button(page, "Copy: Read a run").click();
  await button(page, "Not copied: selected").waitFor();
  expect(await page.evaluate(() => String(getSelection()))).toMatch(/http\.NewRequest/);
  await page.goto(`${stack.url}/docs/polling`);
  expect(await page.getByLabel("Go", { exact: true }).first().isChecked()).toBe(true);
});
