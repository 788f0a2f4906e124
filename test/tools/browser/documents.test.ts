// The pages in Chromium, as readers have them: wide and narrow, light and dark, on paper, with and without JavaScript.
// Leaves screenshots in dist/screenshots/ for people.
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { promisify } from "node:util";
import type { Page } from "playwright-core";
import { beforeAll, expect, test } from "vitest";
import { PAGES } from "../../../docs/pages.ts";
import { NARROW, provideSite, takeScreenshot } from "./site.ts";

const MAX_TRANSFERRED_BYTES = 40_000;
const [, ...GUIDES] = Object.keys(PAGES);
const PATHS = ["/docs", ...GUIDES.map((name) => `/docs/${name}`)];
const EXAMPLE_ID = "11111111-1111-4111-8111-111111111111";

const execute = promisify(execFile);
const site = provideSite();
let axe: string;

beforeAll(async () => {
  axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
});

/** How many pixels the page is wider than the window. */
const measureOverflow = async (page: Page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

async function unfold(page: Page): Promise<void> {
  await page.locator("details").evaluateAll((all) => {
    for (const details of all) {
      // Those of one name would close each other.
      details.removeAttribute("name");
      (details as HTMLDetailsElement).open = true;
    }
  });
}

for (const path of PATHS) {
  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of [1280, 390]) {
      test(`${path} is accessible and fits, ${colorScheme}, ${width} pixels wide`, async () => {
        const use = async (page: Page) => {
          const name = path.slice(1).replace("/", "-");
          await takeScreenshot(page, `${name}-${colorScheme}-${width}`, true);
          // What is folded up is checked as well.
          await unfold(page);
          await page.evaluate(axe);
          const findings = await page.evaluate<string[]>(
            `axe.run({ preload: false }).then(({ violations }) =>
              violations.map(({ id, nodes }) => id + " " + nodes.map(({ html }) => html).join(" ")))`,
          );
          expect(findings).toEqual([]);
          expect(await measureOverflow(page)).toBe(0);
          const ids = await page.locator("[id]").evaluateAll((all) => all.map(({ id }) => id));
          expect(new Set(ids).size).toBe(ids.length);
        };
        await site.visit(path, use, { colorScheme, viewport: { width, height: 900 } });
      });
    }
  }
}

test.each([320, 768, 992, 1100, 1920])("the reference fits %i pixels", async (width) => {
  const use = async (page: Page) => expect(await measureOverflow(page)).toBe(0);
  await site.visit("/docs", use, { viewport: { width, height: 900 } });
});

test("the reference weighs at most 40 KB", async () => {
  const context = await site.browser.newContext();
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  let transferred = 0;
  session.on("Network.loadingFinished", ({ encodedDataLength }) => (transferred += encodedDataLength));
  await session.send("Network.enable");
  await page.goto(`${site.stack.url}/docs`, { waitUntil: "networkidle" });
  await context.close();
  console.log(`/docs: ${transferred} bytes`);
  expect(transferred).toBeGreaterThan(5_000);
  expect(transferred).toBeLessThanOrEqual(MAX_TRANSFERRED_BYTES);
});

test("without JavaScript everything but Try it is there, and tabs work", async () => {
  const use = async (page: Page) => {
    await page.getByText("The form needs JavaScript").waitFor();
    expect(await page.locator("#try").isVisible()).toBe(false);
    expect(await page.getByText("urllib.request.urlopen").isVisible()).toBe(false);
    await page.locator("label", { hasText: "Python" }).first().click();
    await page.getByText("urllib.request.urlopen").waitFor();
    await page.locator("label", { hasText: "failed" }).click();
    await page.getByText("The search found no such city.").waitFor();
  };
  await site.visit("/docs", use, { javaScriptEnabled: false });
});

test("the samples work as they stand on the page", async () => {
  await site.visit("/docs", async (page) => {
    const token = await site.stack.authorizationServer.fetchToken("owner");
    const sample = async (label: string) =>
      page.getByLabel(`${label}, Read a run`, { exact: true }).locator("code").textContent();
    const run = async (command: string, flag: string, label: string) => {
      const env = { ...process.env, TOKEN: token };
      return (await execute(command, [flag, (await sample(label)) ?? ""], { env })).stdout;
    };
    expect(await run("sh", "-c", "curl")).toMatch(new RegExp(`^\\{"id":"${EXAMPLE_ID}"`));
    expect(await run(process.execPath, "--eval", "JavaScript")).toMatch(/^completed # Trams/);
    expect(await run("python3", "-c", "Python")).toMatch(/^completed # Trams/);
    expect(await sample("Go")).toContain("http.DefaultClient.Do(request)");
  });
});

test("the loop of Polling works in a browser, which is offline at first", async () => {
  const use = async (page: Page) => {
    const loop = await page.getByLabel("JavaScript, Polling", { exact: true }).locator("code").textContent();
    expect(loop).toContain("function waitForRun(url, getToken, {");
    const token = await site.stack.authorizationServer.fetchToken("owner");
    const run = (rest: string) =>
      page.evaluate<string>(`(async () => { ${loop?.replaceAll(/^export /gm, "")}
        const canceled = new AbortController(), options = { signal: canceled.signal };
        const wait = () => waitForRun("/api/crew-runs/${EXAMPLE_ID}", async () => "${token}", options);
        ${rest} })()`);
    await page.context().setOffline(true);
    const [status] = await Promise.all([
      run("return parseRun(await wait()).status"),
      page.waitForEvent("requestfailed").then(() => page.context().setOffline(false)),
    ]);
    expect(status).toBe("completed");
    expect(await run("canceled.abort(); return wait().catch((error) => error.name)")).toBe("AbortError");
  };
  await site.visit("/docs/polling", use, { expectedMessages: [/ERR_INTERNET_DISCONNECTED/] });
});

test("the rail has all pages and the page's sections, and marks where the reader is", async () => {
  await site.visit("/docs", async (page) => {
    const rail = page.getByRole("navigation", { name: "Pages and sections" });
    expect(await rail.isVisible()).toBe(true);
    const titles = await rail.getByRole("link").allTextContents();
    expect(titles.slice(0, 6)).toEqual(Object.values(PAGES));
    expect(titles.slice(6)).toEqual(await page.locator("main h2").allTextContents());
    expect(await rail.locator("[aria-current=page]").textContent()).toBe("Reference");
    for (const title of titles.slice(6)) {
      await rail.getByRole("link", { name: title, exact: true }).last().click();
      await expect.poll(async () => rail.locator("#sections [aria-current]").allTextContents()).toEqual([title]);
    }
  });
});

test("on a phone the header is low, and Jump to opens the rail until a link is chosen", async () => {
  const use = async (page: Page) => {
    expect((await page.locator("header").boundingBox())?.height).toBeLessThan(64);
    const rail = page.locator("#rail");
    expect(await rail.isVisible()).toBe(false);
    await page.getByRole("button", { name: "Jump to" }).click();
    await takeScreenshot(page, "jump-to");
    await rail.getByRole("link", { name: "Parameters" }).click();
    await rail.waitFor({ state: "hidden" });
    expect(page.url()).toMatch(/#parameters$/);
  };
  await site.visit("/docs", use, { viewport: NARROW });
});

test("every field, parameter and header has an anchor, also those that are folded up", async () => {
  await site.visit("/docs", async (page) => {
    const rows = await page
      .locator(".fields > div")
      .evaluateAll((all) => all.map((row) => [row.id, row.querySelector("dt a")?.getAttribute("href")] as const));
    for (const [id, link] of rows) expect(link).toBe(`#${id}`);
    const ids = rows.map(([id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ["parameter-run_id", "record-owner_id", "header-retry-after"]) expect(ids).toContain(id);
  });
  await site.visit("/docs#record-crew_config-agents-role", async (page) => {
    await page.locator("#record-crew_config-agents-role").getByText("The agent's role").waitFor();
  });
});

test("each state of the strip shows its example, and the address may name one", async () => {
  await site.visit("/docs#runs-failed", async (page) => {
    const states = page.locator(".states");
    const shown = page.locator("#runs pre:visible code");
    expect(await shown.textContent()).toContain(`"status": "failed"`);
    for (const state of ["pending", "running", "completed", "failed"]) {
      await states.getByRole("link", { name: state, exact: true }).click();
      expect(await shown.textContent()).toContain(`"status": "${state}"`);
      expect(await states.locator("[aria-current]").allTextContents()).toEqual([state]);
    }
  });
});

test("the code of an error leads to its row", async () => {
  await site.visit("/docs/errors#overloaded", async (page) => {
    await page.locator("tr", { has: page.locator("#overloaded:target") }).waitFor();
  });
});

test("in a low window code stays beside its section", async () => {
  const use = async (page: Page) => {
    await page.locator("label", { hasText: "Go" }).first().click();
    for (const top of [0, 400, 1_200, 2_400, 3_600]) {
      const covering = await page.evaluate((y) => {
        scrollTo(0, y);
        return [...document.querySelectorAll("section")].flatMap((section) => {
          const { bottom } = section.getBoundingClientRect();
          const panels = [...section.querySelectorAll(".panel")].filter((panel) => panel.checkVisibility());
          return panels.filter((panel) => panel.getBoundingClientRect().bottom > bottom).map(({ id }) => id);
        });
      }, top);
      expect(covering, `scrolled by ${top}`).toEqual([]);
    }
  };
  await site.visit("/docs", use, { viewport: { width: 1366, height: 625 } });
});

test("each piece of code has a named button that copies it, and so does the address", async () => {
  const use = async (page: Page) => {
    await unfold(page);
    const buttons = await page.locator(".copy:visible").all();
    expect(buttons.length).toBeGreaterThan(4);
    const names = await Promise.all(buttons.map(async (button) => button.getAttribute("aria-label")));
    expect(new Set(names).size).toBe(names.length);
    for (const button of buttons) expect((await button.boundingBox())?.height).toBeGreaterThanOrEqual(24);
    const copy = async (name: string) => {
      await page.getByRole("button", { name, exact: true }).click();
      await page.getByRole("button", { name: "Copied" }).last().waitFor();
      return page.evaluate(async () => navigator.clipboard.readText());
    };
    expect(await copy("Copy: the address")).toBe(`${site.stack.url}/api/crew-runs/{run_id}`);
    await page.locator("label", { hasText: "Python" }).first().click();
    expect(await copy("Copy: Read a run")).toMatch(/^import json, os/);
    expect(await copy("Copy: A cached run, Headers")).toMatch(/^HTTP\/2 200\n/);
  };
  await site.visit("/docs", use, { permissions: ["clipboard-read", "clipboard-write"], viewport: NARROW });
});

test("only labeled fences are tabs: a request and its response are both in view", async () => {
  await site.visit("/docs/authentication", async (page) => {
    await page.getByText("/.well-known/oauth-protected-resource", { exact: false }).first().waitFor();
    await page.getByText(`"authorization_servers"`).waitFor();
    expect(await page.getByRole("radio").count()).toBe(0);
  });
});

test("the language is chosen once, for all samples of all pages", async () => {
  await site.visit("/docs", async (page) => {
    const chosen = async () =>
      page
        .locator('.tabs input[name^="samples-"]:checked')
        .evaluateAll((inputs) => inputs.map((input) => (input as HTMLInputElement).value));
    await page.locator("label", { hasText: "Python" }).last().click();
    expect(await chosen()).toEqual(["Python", "Python"]);
    await page.getByRole("link", { name: "Polling", exact: true }).first().click();
    await page.waitForURL("**/docs/polling");
    expect(new Set(await chosen())).toEqual(new Set(["Python"]));
  });
});

test("statuses are pills of one colour per class, everywhere", async () => {
  for (const path of PATHS) {
    await site.visit(path, async (page) => {
      const pills = await page
        .locator("main .pill")
        .evaluateAll((all) => all.map(({ className, textContent }) => `${className} ${textContent}`));
      for (const pill of pills) expect(pill).toMatch(/^pill s([2-5]) \1\d\d( \w+)?$/);
      if (path === "/docs/errors")
        expect(new Set(pills.map((pill) => pill.slice(0, 7)))).toEqual(new Set(["pill s4", "pill s5"]));
    });
  }
});

test("on paper the code is light, everything is unfolded, and the form is left out", async () => {
  await site.visit(
    "/docs",
    async (page) => {
      await page.emulateMedia({ media: "print" });
      await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
      expect(await page.getByRole("heading", { name: "Try it" }).isVisible()).toBe(false);
      expect(
        await page
          .locator("#rail, header, .copy")
          .evaluateAll((all) => all.filter((one) => one.checkVisibility()).length),
      ).toBe(0);
      for (const text of ["urllib.request", `"status": "failed"`, "The agent's role in the crew", "HTTP/2 200"]) {
        expect(await page.getByText(text).first().isVisible(), text).toBe(true);
      }
      const background = await page.locator("#runs").evaluate((panel) => getComputedStyle(panel).backgroundColor);
      expect(background).toBe("rgb(247, 248, 250)");
      await takeScreenshot(page, "print", true);
      await page.evaluate(() => dispatchEvent(new Event("afterprint")));
      expect(await page.locator("main details[open]").count()).toBe(0);
    },
    { colorScheme: "dark" },
  );
});

test("with forced colours a border marks the selected tab", async () => {
  await site.visit(
    "/docs",
    async (page) => {
      const border = async (label: string) =>
        page
          .locator(".tabs label", { hasText: label })
          .first()
          .evaluate((tab) => getComputedStyle(tab).borderTopWidth);
      expect(await border("curl")).toBe("2px");
      expect(await border("Python")).toBe("0px");
    },
    { forcedColors: "active" },
  );
});

test("on a phone cells have labels, and inputs are not zoomed", async () => {
  const use = async (page: Page) => {
    const label = page.locator("td").first();
    expect(await label.evaluate((cell) => getComputedStyle(cell, "::before").content)).toBe(`"status"`);
    await page.goto(`${site.stack.url}/docs`, { waitUntil: "networkidle" });
    const sizes = await page
      .locator("#try input:not([type=checkbox])")
      .evaluateAll((all) => all.map((one) => getComputedStyle(one).fontSize));
    expect(sizes).toEqual(Array(5).fill("16px"));
  };
  await site.visit("/docs/errors", use, { viewport: NARROW });
});

test("every stop of the Tab key has a name", async () => {
  for (const path of PATHS) {
    await site.visit(path, async (page) => {
      const stops = page.locator("a[href], button, input, summary, [tabindex]");
      const nameless = await stops.evaluateAll((all) =>
        all.filter((stop) => {
          const labels = stop instanceof HTMLInputElement ? [...(stop.labels ?? [])] : [];
          const names = [stop.ariaLabel, stop.textContent, ...labels.map(({ textContent }) => textContent)];
          return names.every((name) => !name?.trim());
        }),
      );
      expect(nameless).toEqual([]);
    });
  }
});

test("pages lead to the next one and the one before", async () => {
  await site.visit("/docs", async (page) => {
    for (const name of GUIDES) {
      await page.locator("a[rel=next]").click();
      await page.waitForURL(`**/docs/${name}`);
    }
    expect(await page.locator("a[rel=next]").count()).toBe(0);
    await page.locator("a[rel=prev]").click();
    await page.waitForURL(`**/docs/${GUIDES.at(-2)}`);
  });
});
