// Ways in that a reader of the source would try: through cached runs, and by the path or the method. None of them works.
import { beforeAll, describe, expect, test } from "vitest";
import { insertRun } from "../support/database.ts";
import { createReader } from "../support/reader.ts";
import { expectNoCredentials } from "../support/refusal.ts";

const reader = await createReader();
const { issuer } = reader;
const id = await insertRun();

describe("a cached run", () => {
  let run: string;
  beforeAll(async () => {
    run = await insertRun({ status: "completed", result: "secret-of-the-run" });
  });

  const subjects = "..|admins|../admins|%2E%2E/admins|of/owner|Owner|owner |own%65r|owner/|owner?|owner#".split("|");

  test("is shown to nobody whose subject looks like its owner's or like a place in the cache", async () => {
    const warm = reader.restart();
    for (const as of ["owner", "admin"] as const) expect((await warm.read(run, { as })).status).toBe(200);
    await warm.app.settle();
    for (const isolate of [warm, reader.restart()]) {
      for (const sub of subjects) {
        expect((await isolate.read(run, { token: await issuer.sign({ sub }) })).status).toBe(404);
      }
    }
    expect((await reader.restart().read(run)).log).toMatchObject({ cache: "hit", cache_layer: "data_center" });
  });

  test.for(["no token", "a bad token"])("is not revealed by a condition, with %s", async (which) => {
    const { read } = reader.restart();
    const etag = (await read(run)).headers.get("etag") ?? "";
    const credentials = which === "no token" ? { as: "nobody" as const } : { token: await issuer.sign({ exp: 1 }) };
    for (const tag of [etag, "*"]) {
      const headers = { "if-none-match": tag, prefer: "wait=60" };
      const result = await read(run, { ...credentials, headers });
      expect([result.status, result.headers.has("etag")]).toEqual([401, false]);
    }
  });
});

/** ID stands for a run that is there. */
const PATHS = `
  /api/crew-runs/ID /api/crew-runs/ID/ /api//crew-runs/ID //api/crew-runs/ID /API/CREW-RUNS/ID /%61pi/crew-runs/ID
  /api/crew-runs/ID%00 /api/crew-runs/x%2F..%2FID /api/crew-runs/x/../ID /api/crew-runs/ID?run_id=ID#x
  /docs/../api/crew-runs/ID /docs/..%2Fapi%2Fcrew-runs%2FID /docs\\..\\api\\crew-runs\\ID
  /api/crew-runs/%7BID%7D /api/crew-runs/urn:uuid:ID /api/crew-runs/%E0%A4%A /api/crew-runs/ /api/crew-runs`;

describe("without a token", () => {
  test.for(PATHS.trim().split(/\s+/))("%s reveals nothing of a run, by whatever method", async (pattern) => {
    const CORS_ORIGINS = "https://app.example.com";
    const { app, read, database, issuer: asked } = await createReader({ settings: { CORS_ORIGINS } });
    const headers = {
      origin: CORS_ORIGINS,
      "access-control-request-method": "GET",
      "x-http-method-override": "GET",
      "x-original-url": `/api/crew-runs/${id}`,
      "x-forwarded-user": "owner",
    };
    for (const method of ["GET", "HEAD", "POST", "OPTIONS", "QUERY"]) {
      const { status, body } = await read(pattern.replaceAll("ID", id), { as: "nobody", method, headers });
      expect([204, 401, 404, 405]).toContain(status);
      expect(body).not.toContain("owner");
    }
    await app.settle();
    // A request without a credential has no business with the database or the issuer.
    expect([await database.received(), await asked.proxy.received()]).toEqual([0, 0]);
  });

  test("a run that exists, one that doesn't and an invalid id are refused alike, with a bad token as well", async () => {
    for (const run of [id, crypto.randomUUID(), "no-uuid", "x".repeat(4_000), "%00", "%"]) {
      expectNoCredentials(await reader.read(run, { as: "nobody" }));
      const head = await reader.read(run, { as: "nobody", method: "HEAD" });
      expect([head.status, head.body]).toEqual([401, ""]);
      expect((await reader.read(run, { token: "a.b.c" })).status).toBe(401);
    }
  });
});
