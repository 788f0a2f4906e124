// Ways in that a reader of the source would try: through remembered tokens and cached runs, and by the path, the method and the names
// of claims. None of them works.
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { controlClock } from "../support/clock.ts";
import { insertRun } from "../support/database.ts";
import { type Reader, createReader } from "../support/reader.ts";
import { expectInvalidToken, expectNoCredentials, expectNoLeak } from "../support/refusal.ts";
import { makeKey } from "../support/signing.ts";

const key = await makeKey("ES256");
const reader = await createReader({ keys: [key] });
const { issuer } = reader;
const id = await insertRun();
let startMs: number;

const clock = controlClock();
beforeEach(() => {
  startMs = Date.now();
  clock.stopAt(startMs);
});

const statusOf = async (from: Reader, token: string, run = id) => (await from.read(run, { token })).status;

describe("a token that is remembered", () => {
  test("is refused from the second on that it expires", async () => {
    const { read } = reader.restart();
    const exp = Math.floor(startMs / 1_000) + 60;
    const token = await issuer.sign({ exp });
    expect((await read(id, { token })).status).toBe(200);
    clock.stopAt((exp + 10) * 1_000 - 1);
    expect((await read(id, { token })).status).toBe(200);
    clock.stopAt((exp + 10) * 1_000);
    // Before the run is read, not only when the response leaves.
    expectInvalidToken(await read(id, { token }), "expired: exp");
    // Nor does a clock that is set back bring it back unseen: it is verified anew.
    clock.stopAt(startMs);
    expect((await read(id, { token })).log["auth"]).toBe("verified");
  });

  test("is not known to a deployment with other settings", async () => {
    const token = await issuer.sign();
    expect(await statusOf(reader, token)).toBe(200);
    for (const settings of [
      { JWT_AUDIENCE: "https://other.example.com" },
      { JWT_ISSUER: "https://other.example.com" },
      { JWT_ALGORITHMS: "RS256" },
      { SUBJECT_CLAIM: "uid" },
    ]) {
      expect(await statusOf(reader.restart(settings), token)).toBe(401);
    }
  });
});

test("many requests at once each get their own response, on a cold isolate and on a warm one", async () => {
  const attacker = await makeKey("ES256", { kid: key.jwk.kid });
  const isolate = reader.restart();
  const tokens = await Promise.all([
    issuer.sign(),
    issuer.sign({ sub: "another-user" }),
    issuer.sign({}, { key: attacker }),
    issuer.sign({ exp: 1 }),
    issuer.sign({ sub: "another-user", scope: "crew-runs:admin" }),
  ]);
  const round = Array.from({ length: 8 }, () => tokens).flat();
  for (let time = 0; time < 2; time += 1) {
    const statuses = await Promise.all(round.map((token) => statusOf(isolate, token)));
    expect(statuses).toEqual(round.map((_, at) => [200, 404, 401, 401, 200][at % 5]));
  }
});

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
      for (const sub of subjects) expect(await statusOf(isolate, await issuer.sign({ sub }), run)).toBe(404);
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
      expect(await statusOf(reader, "a.b.c", run)).toBe(401);
    }
  });
});

describe("a claim that the operator chose", () => {
  test.for(["__proto__", "constructor", "toString"])("is not one that every object has: %s", async (name) => {
    expectInvalidToken(await reader.restart({ SUBJECT_CLAIM: name }).read(id), `no_subject: ${name}`);
    for (const audience of ["Object", "function", "[object", "undefined", name]) {
      const { read } = reader.restart({ AUDIENCE_CLAIM: name, JWT_AUDIENCE: audience });
      expectInvalidToken(await read(id), `wrong_audience: ${name}`);
    }
  });

  test("counts alone: neither a path to it nor the usual claim replaces it", async () => {
    const { JWT_AUDIENCE: aud } = issuer.variables;
    const token = await issuer.sign({ act: { sub: "owner", aud }, uid: undefined, azp: undefined });
    for (const SUBJECT_CLAIM of ["act.sub", "uid"]) {
      expect(await statusOf(reader.restart({ SUBJECT_CLAIM }), token)).toBe(401);
    }
    for (const AUDIENCE_CLAIM of ["act.aud", "azp"]) {
      expect(await statusOf(reader.restart({ AUDIENCE_CLAIM }), token)).toBe(401);
    }
  });
});

test.for([
  ["omit", undefined],
  ["hash", "4c1029697ee35871"],
  ["plain", "owner"],
] as const)("the log names the reader as LOG_SUBJECT says: %s", async ([LOG_SUBJECT, subject]) => {
  const { read } = reader.restart({ LOG_SUBJECT });
  for (const auth of ["verified", "remembered"]) {
    const { status, log } = await read(id);
    expect([status, log["auth"], log["subject"]]).toEqual([200, auth, subject]);
  }
});

test("the log contains nothing of a token in a wrong place", async () => {
  const token = await issuer.sign();
  const headers = { "x-request-id": token, traceparent: token, referer: token, "user-agent": token, cookie: token };
  for (const path of [`/api/crew-runs/${token}`, `/api/crew-runs/${id}?access_token=${token}`, `/${token}`]) {
    const result = await reader.read(path, { as: "nobody", headers });
    expect([401, 404]).toContain(result.status);
    expectNoLeak(result, [token]);
  }
});
