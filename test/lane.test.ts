import { inject } from "vitest";
import { describe, expect, test } from "vitest";
import { openLane } from "./lane.ts";

const canned = { text: `{"answer":42}` };

function getWithin(url: string, milliseconds: number): Promise<Response> {
  return fetch(url, { signal: AbortSignal.timeout(milliseconds), redirect: "manual" });
}

describe("a lane", () => {
  test("passes a request on to its target and the answer back", async () => {
    const { variables } = inject("stack");
    const lane = await openLane(variables.NEON_FETCH_ENDPOINT);
    const response = await fetch(lane.url, {
      method: "POST",
      headers: { "neon-connection-string": variables.DATABASE_URL },
      body: JSON.stringify({ query: "select $1::int as number", params: ["7"] }),
    });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(await response.json()).toMatchObject({ rows: [["7"]] });
    expect(await lane.requests()).toMatchObject([
      {
        method: "POST",
        path: "",
        headers: { "neon-connection-string": variables.DATABASE_URL },
        body: `{"query":"select $1::int as number","params":["7"]}`,
      },
    ]);
  });

  test("appends to the target what was appended to its address", async () => {
    const { variables } = inject("stack");
    const lane = await openLane(new URL(variables.JWKS_URL).origin);
    const response = await fetch(`${lane.url}/jwks`);
    expect(await response.json()).toHaveProperty("keys");
    const [request] = await lane.requests();
    expect(request?.path).toBe("/jwks");
  });

  test("gives the canned answer, and another one once told so", async () => {
    const lane = await openLane(canned);
    const first = await fetch(lane.url);
    expect(first.headers.get("content-type")).toBe("application/json");
    expect(await first.text()).toBe(canned.text);
    await lane.serve({ status: 201, headers: { "cache-control": "max-age=5" }, text: "other" });
    const second = await fetch(lane.url);
    expect(second.status).toBe(201);
    expect(second.headers.get("cache-control")).toBe("max-age=5");
    expect(await second.text()).toBe("other");
  });

  test("counts on its own", async () => {
    const [one, other] = await Promise.all([openLane(canned), openLane(canned)]);
    await one.fail({ kind: "delay", milliseconds: 50 });
    await Promise.all([1, 2, 3].map(async () => (await fetch(one.url)).text()));
    expect(await one.counters()).toEqual({ received: 3, answered: 3, open: 0, maxOpen: 3 });
    expect(await other.counters()).toEqual({ received: 0, answered: 0, open: 0, maxOpen: 0 });
  });

  test("heals by itself after so many requests, or when told so", async () => {
    const lane = await openLane(canned);
    await lane.fail({ kind: "status", status: 503, times: 2 });
    const statuses = [];
    for (let attempt = 0; attempt < 3; attempt += 1) {
      statuses.push((await fetch(lane.url)).status);
    }
    expect(statuses).toEqual([503, 503, 200]);
    await lane.fail({ kind: "status", status: 500 });
    await lane.heal();
    expect((await fetch(lane.url)).status).toBe(200);
  });
});

describe("a lane fails by", () => {
  test.for(["refuse", "drop"] as const)("ending the connection before the answer (%s)", async (kind) => {
    const lane = await openLane(canned);
    await lane.fail({ kind });
    await expect(fetch(lane.url, { method: "POST", body: "x" })).rejects.toThrow();
    const [request] = await lane.requests();
    expect(request?.body).toBe(kind === "drop" ? "x" : "");
    expect(await lane.counters()).toEqual({ received: 1, answered: 0, open: 0, maxOpen: 1 });
  });

  test("ending the connection in the middle of the body", async () => {
    const lane = await openLane(canned);
    await lane.fail({ kind: "drop-in-body" });
    const response = await fetch(lane.url);
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow();
  });

  test("never answering", async () => {
    const lane = await openLane(canned);
    await lane.fail({ kind: "hang" });
    await expect(getWithin(lane.url, 100)).rejects.toThrow();
    expect(await lane.counters()).toMatchObject({ received: 1, answered: 0, maxOpen: 1 });
  });

  test("stopping in the middle of the body", async () => {
    const lane = await openLane(canned);
    await lane.fail({ kind: "hang-in-body" });
    const response = await getWithin(lane.url, 200);
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow();
  });

  test("answering with a status and a body of its own", async () => {
    const lane = await openLane(canned);
    await lane.fail({
      kind: "status",
      status: 502,
      text: "<h1>Bad gateway</h1>",
      contentType: "text/html",
      headers: { "retry-after": "3" },
    });
    const response = await fetch(lane.url);
    expect(response.status).toBe(502);
    expect(response.headers.get("content-type")).toBe("text/html");
    expect(response.headers.get("retry-after")).toBe("3");
    expect(await response.text()).toBe("<h1>Bad gateway</h1>");
  });

  test("answering with a huge body that is still the same JSON", async () => {
    const lane = await openLane(canned);
    await lane.fail({ kind: "huge-body", megabytes: 3 });
    const text = await (await fetch(lane.url)).text();
    expect(text.length).toBe(canned.text.length + 3 * 1024 * 1024);
    expect(JSON.parse(text)).toEqual({ answer: 42 });
  });

  test("answering with half of the JSON", async () => {
    const lane = await openLane(canned);
    await lane.fail({ kind: "truncated" });
    expect(await (await fetch(lane.url)).text()).toBe(`{"answ`);
  });

  test("sending the whole body slowly", async () => {
    const lane = await openLane(canned);
    await lane.fail({ kind: "trickle", bytes: 2, intervalMs: 20 });
    const response = await fetch(lane.url);
    expect((await lane.counters()).open).toBe(1);
    expect(await response.text()).toBe(canned.text);
    expect(await lane.counters()).toEqual({ received: 1, answered: 1, open: 0, maxOpen: 1 });
  });

  test("redirecting", async () => {
    const lane = await openLane(canned);
    const elsewhere = await openLane({ text: "elsewhere" });
    await lane.fail({ kind: "redirect", location: elsewhere.url, status: 307 });
    const response = await getWithin(lane.url, 1000);
    expect(response.status).toBe(307);
    expect(response.headers.get("location")).toBe(elsewhere.url);
    expect(await (await fetch(lane.url)).text()).toBe("elsewhere");
  });
});
