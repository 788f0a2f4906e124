// The pages in Chromium, as readers have them: wide and narrow, light and dark, on paper, with and without JavaScript.
// Leaves screenshots in dist/screenshots/ for people.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { PAGES } from "../../../docs/pages.ts";
import { launchChromium } from "./chromium.ts";
import { LOW, NARROW, findMisplacedTexts, findViolations, provideSite, takeScreenshot } from "./site.ts";

const MAX_TRANSFERRED_BYTES = 22_000;
const [, ...GUIDES] = Object.keys(PAGES);
const PATHS = ["/docs", ...GUIDES.map((name) => `/docs/${name}`)];
const EXAMPLE_ID = "11111111-1111-4111-8111-111111111111";
const SIZES = [...[320, 360, 375, 768, 992, 1920].map((width) => ({ width, height: 900 })), LOW];

const execute = promisify(execFile);
const site = provideSite();

async function unfold(page: Page): Promise<void> {
  await page.locator("details").evaluateAll((all) => {
    for (const details of all) (details as HTMLDetailsElement).open = true;
  });
}

for (const path of PATHS) {
  for (const colorScheme of ["light", "dark"] as const) {
    test(`${path} is accessible, ${colorScheme}`, async () => {
      const use = async (page: Page) => {
        // What is folded up is checked as well.
        await unfold(page);
        for (const viewport of [LOW, NARROW]) {
          await page.setViewportSize(viewport);
          await takeScreenshot(page, `${path.slice(1).replace("/", "-")}-${colorScheme}-${viewport.width}`, true);
          expect(await findViolations(page)).toEqual([]);
        }
        const ids = await page.locator("[id]").evaluateAll((all) => all.map(({ id }) => id));
        expect(new Set(ids).size).toBe(ids.length);
      };
      await site.visit(path, use, { colorScheme });
    });
  }

  test(`${path} fits every window, and no texts meet`, async () => {
    await site.visit(path, async (page) => {
      await unfold(page);
      for (const viewport of SIZES) {
        await page.setViewportSize(viewport);
        for (const label of path === "/docs" ? ["curl", "Go"] : [""]) {
          if (label !== "") await page.locator("label", { hasText: label }).first().click();
          expect(await findMisplacedTexts(page), `${viewport.width} ${label}`).toEqual([]);
        }
      }
    });
  });
}

test("every page fits at a font size of 24 pixels", async () => {
  const browser = await launchChromium({ args: ["--no-sandbox", "--blink-settings=defaultFontSize=24"] });
  try {
    for (const path of PATHS) {
      const use = async (page: Page) => {
        expect(await page.evaluate(() => getComputedStyle(document.documentElement).fontSize)).toBe("24px");
        await unfold(page);
        for (const viewport of SIZES) {
          await page.setViewportSize(viewport);
          expect(await findMisplacedTexts(page), `${path}, ${viewport.width}`).toEqual([]);
        }
      };
      await site.visit(path, use, { browser });
    }
  } finally {
    await browser.close();
  }
});

test("the reference weighs at most 22 KB before a log-in", async () => {
  const context = await site.browser.newContext();
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  let transferred = 0;
  const others = new Set<string>();
  // Only on a loopback host, the page asks the issuer for the local stack's runs.
  session.on("Network.requestWillBeSent", ({ requestId, request: { url } }) => {
    if (!url.startsWith(site.stack.url)) others.add(requestId);
  });
  session.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    if (!others.has(requestId)) transferred += encodedDataLength;
  });
  await session.send("Network.enable");
  await page.goto(`${site.stack.url}/docs`, { waitUntil: "networkidle" });
  await context.close();
  console.log(`/docs: ${transferred} bytes`);
  expect(transferred).toBeGreaterThan(5_000);
  expect(transferred).toBeLessThanOrEqual(MAX_TRANSFERRED_BYTES);
});

test("the first screen says what this is and what a run is, and links to the page's Markdown", async () => {
  const use = async (page: Page) => {
    const first = page.locator("main p").filter({ hasText: "CrewAI" }).first();
    expect(await first.textContent()).toMatch(/read-only API[^]*record of a run[^]*one execution\sof\sa\screw/);
    const { y = 0, height = 0 } = (await first.boundingBox()) ?? {};
    expect(y + height).toBeLessThan(LOW.height);
    await page.getByRole("link", { name: "This page as Markdown" }).click();
    await page.waitForURL("**/docs/get-run.md");
  };
  await site.visit("/docs", use, { viewport: NARROW });
});

test("each page has a title of its own and its canonical address", async () => {
  const titles = new Set<string>();
  for (const path of PATHS) {
    await site.visit(`${path}?run_id=${EXAMPLE_ID}`, async (page) => {
      const title = await page.title();
      expect(title).toMatch(/^\S.* · Crew runs API$/);
      titles.add(title);
      const canonical = page.locator("link[rel=canonical]");
      expect(await canonical.evaluate((link) => (link as HTMLLinkElement).href)).toBe(site.stack.url + path);
    });
  }
  expect(titles).toContain("Read a run · Crew runs API");
  expect(titles.size).toBe(PATHS.length);
});

test("a page that doesn't exist is a 404 with the way to those that do; programs get the API's JSON", async () => {
  const use = async (page: Page) => {
    for (const path of ["/docs/nothing", "/docs/a/b", "/docs/404"]) {
      const response = await page.goto(`${site.stack.url}${path}`, { waitUntil: "networkidle" });
      expect(response?.status(), path).toBe(404);
      await page.getByRole("heading", { name: "There is no such page" }).waitFor();
      expect(await findViolations(page)).toEqual([]);
    }
    await page.getByRole("link", { name: "the reference", exact: true }).click();
    await page.getByRole("heading", { name: "Read a run" }).waitFor();
  };
  const missing = Array(3).fill(/status of 404/);
  await site.visit("/docs", use, { expectedMessages: missing });
  for (const path of ["/docs/nothing", "/docs/nothing.md", "/nothing"]) {
    const response = await fetch(`${site.stack.url}${path}`);
    expect(await response.json(), path).toMatchObject({ code: "not_found" });
  }
});

test("without JavaScript everything but Try it is there, tabs work, and the samples' host is explained", async () => {
  const use = async (page: Page) => {
    await page.getByText("The form needs JavaScript").waitFor();
    await page.getByText("https://api.example.com stands for the host of this page.").waitFor();
    expect(await page.locator("#try").isVisible()).toBe(false);
    expect(await page.getByText("urllib.request.urlopen").isVisible()).toBe(false);
    await page.locator("label", { hasText: "Python" }).first().click();
    await page.getByText("urllib.request.urlopen").waitFor();
    await page.locator("label", { hasText: "failed" }).click();
    await page.getByText("The search found no such city.").waitFor();
  };
  await site.visit("/docs", use, { javaScriptEnabled: false });
  await site.visit("/docs", async (page) => expect(await page.content()).not.toContain("api.example.com"));
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
    const titles = await rail.getByRole("link").allTextContents();
    const pageCount = Object.keys(PAGES).length;
    expect(titles.slice(0, pageCount)).toEqual(Object.values(PAGES));
    expect(titles.slice(pageCount)).toEqual(await page.locator("main h2").allTextContents());
    expect(await rail.locator("[aria-current=page]").textContent()).toBe("Reference");
    for (const title of titles.slice(pageCount)) {
      await rail.getByRole("link", { name: title, exact: true }).last().click();
      await expect.poll(async () => rail.locator(".sections [aria-current]").allTextContents()).toEqual([title]);
    }
  });
});

test("on a phone Jump to opens the rail until a link is chosen", async () => {
  const use = async (page: Page) => {
    const rail = page.locator("#rail");
    expect(await rail.isVisible()).toBe(false);
    await page.getByRole("button", { name: "Jump to" }).click();
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
  await site.visit("/docs", use, { viewport: LOW });
});

test("each piece of code has a named button that copies it, and so does the address", async () => {
  const use = async (page: Page) => {
    await unfold(page);
    const buttons = await page.locator(".copy:visible").all();
    const names = await Promise.all(buttons.map(async (button) => button.getAttribute("aria-label")));
    expect(names.length).toBeGreaterThan(5);
    expect(new Set(names).size).toBe(names.length);
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

test("if the browser forbids the clipboard, the button says so and selects the code", async () => {
  await site.visit("/docs", async (page) => {
    await page.evaluate(() => {
      navigator.clipboard.writeText = async () => Promise.reject(new DOMException("no", "NotAllowedError"));
    });
    await page.getByRole("button", { name: "Copy: Read a run", exact: true }).click();
    await page.getByRole("button", { name: "Not copied: selected" }).waitFor();
    expect(await page.evaluate(() => getSelection()?.toString())).toMatch(/^curl -H "Authorization/);
  });
});

test("only labeled fences are tabs: a request and its response are both in view", async () => {
  await site.visit("/docs/authentication", async (page) => {
    await page.getByText("/.well-known/oauth-protected-resource", { exact: false }).first().waitFor();
    await page.getByText(`"authorization_servers"`).waitFor();
    expect(await page.getByRole("radio").count()).toBe(0);
  });
});

test("the language is chosen once, for all samples of all pages, and nothing moves when the page comes", async () => {
  await site.visit("/docs", async (page) => {
    const chosen = async () =>
      page
        .locator('.tabs input[name^="samples-"]:checked')
        .evaluateAll((inputs) => inputs.map((input) => (input as HTMLInputElement).value));
    await page.locator("label", { hasText: "Go" }).first().click();
    expect(new Set(await chosen())).toEqual(new Set(["Go"]));
    await page.getByRole("link", { name: "Polling", exact: true }).first().click();
    await page.waitForURL("**/docs/polling");
    expect(new Set(await chosen())).toEqual(new Set(["Go"]));
    // The script comes late.
    await page.route("**/docs/assets/*.js", async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 500));
      await route.continue();
    });
    await page.goto(`${site.stack.url}/docs`, { waitUntil: "networkidle" });
    const shift = await page.evaluate(async () => {
      const { promise, resolve } = Promise.withResolvers<number>();
      let sum = 0;
      const observer = new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) sum += (entry as PerformanceEntry & { value: number }).value;
      });
      observer.observe({ type: "layout-shift", buffered: true });
      setTimeout(() => resolve(sum), 300);
      return promise;
    });
    expect(shift).toBeLessThan(0.01);
  });
});

test("on paper everything is unfolded, and the form is left out", async () => {
  await site.visit("/docs", async (page) => {
    await page.emulateMedia({ media: "print" });
    expect(await page.getByRole("heading", { name: "Try it" }).isVisible()).toBe(false);
    const left = page.locator("#rail, header, .copy");
    expect(await left.evaluateAll((all) => all.filter((one) => one.checkVisibility()).length)).toBe(0);
    for (const text of ["urllib.request", `"status": "failed"`, "The agent's role in the crew", "HTTP/2 200"])
      expect(await page.getByText(text).first().isVisible(), text).toBe(true);
    await takeScreenshot(page, "print", true);
  });
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
