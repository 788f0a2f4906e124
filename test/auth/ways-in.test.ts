// Ways in that a reader of the source would try: through remembered tokens and cached runs, and by the path, the method and the names
// of claims. None of them works.
import { beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { type TestApp, bearer, createTestApp } from "../support/test-app.ts";
import { expectInvalidToken, expectNoCredentials, expectNoLeak, observe } from "../support/refusal.ts";
import { controlClock } from "../support/clock.ts";
import { insertRun } from "../support/database.ts";
import { openDatabaseProxy } from "../support/fault-proxy.ts";
import { openIssuer } from "../support/issuer.ts";
import { type SigningKey, makeKey } from "../support/signing.ts";
import type { TestIssuer } from "../support/test-issuer.ts";

const FINISHED = { status: "completed", completed_at: "2036-01-01T00:00:00Z", result: "secret-of-the-run" } as const;

let key: SigningKey;
let issuer: TestIssuer;
let id: string;
let startMs: number;

const clock = controlClock();

beforeAll(async () => {
  key = await makeKey("ES256");
  issuer = await openIssuer([key]);
  id = await insertRun({ owner_id: "owner" });
});

beforeEach(() => {
  startMs = Date.now();
  clock.stopAt(startMs);
});

async function read(app: TestApp, token: string, run: string = id, init: RequestInit = {}): Promise<number> {
  const headers = { ...init.headers, ...bearer(token) };
  const response = await app.fetch(`/api/crew-runs/${run}`, { ...init, headers });
  await response.body?.cancel();
  return response.status;
}

describe("a token that is remembered", () => {
  test("is refused from the second on that it expires", async () => {
    const app = createTestApp(issuer.variables);
    const exp = Math.floor(startMs / 1_000) + 60;
    const token = await issuer.sign({ exp });
    expect(await read(app, token)).toBe(200);
    clock.stopAt((exp + 10) * 1_000 - 1);
    expect(await read(app, token)).toBe(200);
    clock.stopAt((exp + 10) * 1_000);
    // Before the run is read, not only when the response leaves.
    const observed = await observe(() => app.fetch(`/api/crew-runs/${id}`, { headers: bearer(token) }));
    expectInvalidToken(observed, "expired: exp");
    // Nor does a clock that is set back bring it back unseen: it is verified anew.
    clock.stopAt(startMs);
    expect(await read(app, token)).toBe(200);
  });

  test("is not known to a deployment with other settings", async () => {
    const token = await issuer.sign();
    expect(await read(createTestApp(issuer.variables), token)).toBe(200);
    for (const other of [
      { JWT_AUDIENCE: "https://other.example.com" },
      { JWT_ISSUER: "https://other.example.com" },
      { JWT_ALGORITHMS: "RS256" },
      { SUBJECT_CLAIM: "uid" },
    ]) {
      expect(await read(createTestApp({ ...issuer.variables, ...other }), token)).toBe(401);
    }
  });
});

test("many requests at once each get their own response, on a cold isolate and on a warm one", async () => {
  const attacker = await makeKey("ES256", { kid: key.jwk.kid });
  const app = createTestApp(issuer.variables);
  const tokens = await Promise.all([
    issuer.sign(),
    issuer.sign({ sub: "another-user" }),
    issuer.sign({}, { key: attacker }),
    issuer.sign({ exp: 1 }),
    issuer.sign({ sub: "another-user", scope: "crew-runs:admin" }),
  ]);
  const round = Array.from({ length: 8 }, () => tokens).flat();
  for (let time = 0; time < 2; time += 1) {
    const statuses = await Promise.all(round.map((token) => read(app, token)));
    expect(statuses).toEqual(round.map((_, at) => [200, 404, 401, 401, 200][at % 5]));
  }
});

describe("a cached run", () => {
  let run: string;

  beforeAll(async () => {
    run = await insertRun({ ...FINISHED, owner_id: "owner" });
  });

  const subjects = "..|admins|../admins|%2E%2E/admins|of/owner|Owner|owner |own%65r|owner/|owner?|owner#".split("|");

  test("is shown to nobody whose subject looks like its owner's or like a place in the cache", async () => {
    const warm = createTestApp(issuer.variables);
    const owner = await issuer.sign();
    const admin = await issuer.sign({ sub: "x", scope: "crew-runs:admin" });
    for (const token of [owner, admin]) expect(await read(warm, token, run)).toBe(200);
    await warm.settle();
    for (const app of [warm, createTestApp(issuer.variables)]) {
      for (const sub of subjects) {
        expect(await read(app, await issuer.sign({ sub }), run)).toBe(404);
      }
    }
    const response = await createTestApp(issuer.variables).fetch(`/api/crew-runs/${run}`, { headers: bearer(owner) });
    expect(response.headers.get("server-timing")).toContain("cache;desc=hit");
  });

  test.for(["no token", "a bad token"])("is not revealed by a condition, with %s", async (which) => {
    const app = createTestApp(issuer.variables);
    const owner = await issuer.sign();
    const cached = await app.fetch(`/api/crew-runs/${run}`, { headers: bearer(owner) });
    const etag = cached.headers.get("etag") ?? "";
    const credentials = which === "no token" ? {} : bearer(await issuer.sign({ exp: 1 }));
    for (const tag of [etag, "*"]) {
      const headers = { ...credentials, "if-none-match": tag, prefer: "wait=60" };
      const response = await app.fetch(`/api/crew-runs/${run}`, { headers });
      expect(response.status).toBe(401);
      expect(response.headers.has("etag")).toBe(false);
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
    const database = await openDatabaseProxy();
    const CORS_ORIGINS = "https://app.example.com";
    const app = createTestApp({ ...issuer.variables, NEON_FETCH_ENDPOINT: database.url, CORS_ORIGINS });
    const received = await issuer.proxy.received();
    const headers = {
      origin: CORS_ORIGINS,
      "access-control-request-method": "GET",
      "x-http-method-override": "GET",
      "x-original-url": `/api/crew-runs/${id}`,
      "x-forwarded-user": "owner",
    };
    for (const method of ["GET", "HEAD", "POST", "OPTIONS", "QUERY"]) {
      const { response, body } = await observe(() => app.fetch(pattern.replaceAll("ID", id), { method, headers }));
      expect([204, 401, 404, 405]).toContain(response.status);
      expect(body).not.toContain("owner");
    }
    await app.settle();
    expect(await database.received()).toBe(0);
    // A request without a credential has no business with the issuer.
    expect(await issuer.proxy.received()).toBe(received);
  });

  test("a run that exists, one that doesn't and an invalid id are refused alike, with a bad token as well", async () => {
    const app = createTestApp(issuer.variables);
    for (const run of [id, crypto.randomUUID(), "no-uuid", "x".repeat(4_000), "%00", "%"]) {
      expectNoCredentials(await observe(() => app.fetch(`/api/crew-runs/${run}`)));
      const head = await app.fetch(`/api/crew-runs/${run}`, { method: "HEAD" });
      expect([head.status, await head.text()]).toEqual([401, ""]);
      expect(await read(app, "a.b.c", run)).toBe(401);
    }
  });
});

describe("a claim that the operator chose", () => {
  test.for(["__proto__", "constructor", "toString"])("is not one that every object has: %s", async (name) => {
    const send = async (variables: Record<string, string>) => {
      const app = createTestApp({ ...issuer.variables, ...variables });
      const headers = bearer(await issuer.sign());
      return observe(() => app.fetch(`/api/crew-runs/${id}`, { headers }));
    };
    expectInvalidToken(await send({ SUBJECT_CLAIM: name }), `no_subject: ${name}`);
    for (const audience of ["Object", "function", "[object", "undefined", name]) {
      expectInvalidToken(await send({ AUDIENCE_CLAIM: name, JWT_AUDIENCE: audience }), `wrong_audience: ${name}`);
    }
  });

  test("counts alone: neither a path to it nor the usual claim replaces it", async () => {
    const aud = inject("localStack").variables.JWT_AUDIENCE;
    const token = await issuer.sign({ act: { sub: "owner", aud }, uid: undefined, azp: undefined });
    for (const SUBJECT_CLAIM of ["act.sub", "uid"]) {
      expect(await read(createTestApp({ ...issuer.variables, SUBJECT_CLAIM }), token)).toBe(401);
    }
    for (const AUDIENCE_CLAIM of ["act.aud", "azp"]) {
      expect(await read(createTestApp({ ...issuer.variables, AUDIENCE_CLAIM }), token)).toBe(401);
    }
  });
});

describe("the log", () => {
  test.for([
    ["omit", undefined],
    ["hash", "4c1029697ee358715d3a14a2add817c4"],
    ["plain", "owner"],
  ] as const)(
    "names the reader as LOG_SUBJECT says (%s), and contains nothing of the token",
    async ([policy, name]) => {
      const app = createTestApp({ ...issuer.variables, LOG_SUBJECT: policy });
      const token = await issuer.sign();
      for (const auth of ["verified", "remembered"]) {
        const observed = await observe(() => app.fetch(`/api/crew-runs/${id}`, { headers: bearer(token) }));
        expect(observed.response.status).toBe(200);
        expectNoLeak({ ...observed, body: "" }, [token]);
        const line: { subject?: string } = JSON.parse(observed.lines[0] ?? "");
        expect(line).toMatchObject({ auth, status: 200 });
        expect(line.subject).toBe(name?.slice(0, 16));
      }
    },
  );

  test("contains nothing of a token in a wrong place", async () => {
    const app = createTestApp(issuer.variables);
    const token = await issuer.sign();
    const headers = { "x-request-id": token, traceparent: token, referer: token, "user-agent": token, cookie: token };
    for (const path of [`/api/crew-runs/${token}`, `/api/crew-runs/${id}?access_token=${token}`, `/${token}`]) {
      const observed = await observe(() => app.fetch(path, { headers }));
      expect([401, 404]).toContain(observed.response.status);
      expectNoLeak(observed, [token]);
    }
  });
});
