// Ways in that somebody would try who has read the source: what is remembered, what is cached, what the path, the method and
// the names of claims may do. None is one.
import { afterEach, beforeAll, beforeEach, describe, expect, inject, test, vi } from "vitest";
import { type SigningKey, type TestIssuer, makeKey, openIssuer } from "../issuer.ts";
import { openLane } from "../lane.ts";
import { insertRun } from "../rows.ts";
import { type Worker, bearer, startWorker } from "../worker.ts";
import { forge, replacePart } from "./forge.ts";
import { expectInvalidToken, expectNoCredentials, expectNoLeak, observe } from "./refusal.ts";

const FINISHED = { status: "completed", completed_at: "2036-01-01T00:00:00Z", result: "secret-of-the-run" } as const;
const MINUTE_MS = 60_000;

let key: SigningKey;
let issuer: TestIssuer;
let id: string;
let startMs: number;

beforeAll(async () => {
  key = await makeKey("ES256");
  issuer = await openIssuer([key]);
  id = await insertRun({ owner_id: "owner" });
});

beforeEach(() => {
  startMs = Date.now();
  vi.useFakeTimers({ toFake: ["Date"], now: startMs });
});

afterEach(() => {
  vi.useRealTimers();
});

const pass = (milliseconds: number) => vi.setSystemTime(Date.now() + milliseconds);
const hour = () => ({ exp: Math.floor(Date.now() / 1_000) + 3_600 });

async function read(worker: Worker, token: string, run: string = id, init: RequestInit = {}): Promise<number> {
  const headers = { ...init.headers, ...bearer(token) };
  const response = await worker.fetch(`/api/crew-runs/${run}`, { ...init, headers });
  await response.body?.cancel();
  return response.status;
}

describe("a token that is remembered", () => {
  test("is refused from the second on that it expires", async () => {
    const worker = startWorker(issuer.variables);
    const exp = Math.floor(startMs / 1_000) + 60;
    const token = await issuer.sign({ exp });
    expect(await read(worker, token)).toBe(200);
    vi.setSystemTime((exp + 10) * 1_000 - 1);
    expect(await read(worker, token)).toBe(200);
    vi.setSystemTime((exp + 10) * 1_000);
    expect(await read(worker, token)).toBe(401);
    // Nor does a clock that is set back bring it back unseen: it is verified anew.
    vi.setSystemTime(startMs);
    expect(await read(worker, token)).toBe(200);
  });

  test("is remembered for nobody else, and with nobody else's rights", async () => {
    const worker = startWorker(issuer.variables);
    const foreign = await insertRun({ owner_id: "somebody-else" });
    const admin = await issuer.sign({ sub: "owner", scope: "crew-runs:admin" });
    const plain = await issuer.sign({ sub: "owner", scope: "x" });
    for (let round = 0; round < 2; round += 1) {
      expect(await read(worker, admin, foreign)).toBe(200);
      expect(await read(worker, plain, foreign)).toBe(404);
    }
  });

  test("is not remembered by its parts", async () => {
    const worker = startWorker(issuer.variables);
    const [one, other] = await Promise.all([issuer.sign(), issuer.sign({ sub: "somebody-else" })]);
    expect(await read(worker, one)).toBe(200);
    expect(await read(worker, other)).toBe(404);
    for (const index of [0, 1, 2] as const) {
      const part = other.split(".")[index] ?? "";
      const mixed = replacePart(one, index, () => part);
      if (mixed !== one) expect(await read(worker, mixed)).toBe(401);
    }
  });

  test.for<[string, Record<string, string>]>([
    ["for another audience", { JWT_AUDIENCE: "https://other.example.com" }],
    ["for another issuer", { JWT_ISSUER: "https://other.example.com" }],
    ["with other algorithms", { JWT_ALGORITHMS: "RS256" }],
    ["with another subject", { SUBJECT_CLAIM: "uid" }],
  ])("is not known to a deployment %s", async ([, variables]) => {
    const token = await issuer.sign();
    expect(await read(startWorker(issuer.variables), token)).toBe(200);
    expect(await read(startWorker({ ...issuer.variables, ...variables }), token)).toBe(401);
  });

  test("does not stand for one that was refused, nor the other way round", async () => {
    const [old, next] = await Promise.all([makeKey("ES256"), makeKey("ES256")]);
    const other = await openIssuer([old]);
    const worker = startWorker(other.variables);
    const early = await other.sign({}, { key: next });
    expect(await read(worker, await other.sign())).toBe(200);
    expect(await read(worker, early)).toBe(401);
    await other.publish([old.jwk, next.jwk]);
    pass(11_000);
    expect(await read(worker, early)).toBe(200);
  });
});

test("a key that is published for encryption from then on gets nobody in any more", async () => {
  const withdrawn = await makeKey("ES256");
  const other = await openIssuer([withdrawn]);
  const worker = startWorker(other.variables);
  const token = await other.sign({ exp: Math.floor(Date.now() / 1_000) + 3_600 });
  expect(await read(worker, token)).toBe(200);
  await worker.settle();
  await other.publish([{ ...withdrawn.jwk, use: "enc" }, (await makeKey("ES256")).jwk]);
  pass(30 * MINUTE_MS);
  expect(await read(worker, token)).toBe(401);
});

test("the keys of one issuer get nobody in at another", async () => {
  const [mine, yours] = await Promise.all([makeKey("ES256", { kid: "1" }), makeKey("ES256", { kid: "1" })]);
  const [one, other] = await Promise.all([openIssuer([mine]), openIssuer([yours])]);
  const [first, second] = [startWorker(one.variables), startWorker(other.variables)];
  const crossed = await other.sign({}, { key: mine });
  expect(await read(first, await one.sign())).toBe(200);
  expect(await read(second, crossed)).toBe(401);
  expect(await read(second, await other.sign())).toBe(200);
  expect(await read(first, await one.sign({}, { key: yours }))).toBe(401);
});

test("many at once on a cold isolate get each their own answer", async () => {
  const attacker = await makeKey("ES256", { kid: key.jwk.kid });
  const worker = startWorker(issuer.variables);
  const tokens = await Promise.all([
    issuer.sign(),
    issuer.sign({ sub: "somebody-else" }),
    issuer.sign({}, { key: attacker }),
    issuer.sign({ exp: 1 }),
    issuer.sign({ sub: "somebody-else", scope: "crew-runs:admin" }),
  ]);
  const round = Array.from({ length: 8 }, () => tokens).flat();
  const statuses = await Promise.all(round.map((token) => read(worker, token)));
  expect(statuses).toEqual(round.map((_, at) => [200, 404, 401, 401, 200][at % 5]));
});

describe("a finished run that is kept", () => {
  let run: string;

  beforeAll(async () => {
    run = await insertRun({ ...FINISHED, owner_id: "owner" });
  });

  const subjects = ["..", "admins", "../admins", "%2e%2e", "%2E%2E/admins", "of/owner", "Owner", "owner ", "own%65r"];

  test("is shown to nobody whose subject looks like its owner's or like a place in the cache", async () => {
    const warm = startWorker(issuer.variables);
    const owner = await issuer.sign();
    const admin = await issuer.sign({ sub: "x", scope: "crew-runs:admin" });
    for (const token of [owner, admin]) expect(await read(warm, token, run)).toBe(200);
    await warm.settle();
    for (const worker of [warm, startWorker(issuer.variables)]) {
      for (const sub of subjects) {
        expect(await read(worker, await issuer.sign({ sub }), run)).toBe(404);
      }
    }
    const response = await startWorker(issuer.variables).fetch(`/api/crew-runs/${run}`, { headers: bearer(owner) });
    expect(response.headers.get("server-timing")).toContain("cache;desc=hit");
  });

  test.for(["no token", "a bad token"])("is not told of by a condition, with %s", async (which) => {
    const worker = startWorker(issuer.variables);
    const owner = await issuer.sign();
    const kept = await worker.fetch(`/api/crew-runs/${run}`, { headers: bearer(owner) });
    const etag = kept.headers.get("etag") ?? "";
    const credentials = which === "no token" ? {} : bearer(await issuer.sign({ exp: 1 }));
    for (const tag of [etag, "*"]) {
      const headers = { ...credentials, "if-none-match": tag, prefer: "wait=60" };
      const response = await worker.fetch(`/api/crew-runs/${run}`, { headers });
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
  test.for(PATHS.trim().split(/\s+/))("%s tells nothing of a run, by whatever method", async (pattern) => {
    const database = await openLane(inject("stack").variables.NEON_FETCH_ENDPOINT);
    const CORS_ORIGINS = "https://app.example.com";
    const worker = startWorker({ ...issuer.variables, NEON_FETCH_ENDPOINT: database.url, CORS_ORIGINS });
    const { received } = await issuer.lane.counters();
    const headers = {
      origin: CORS_ORIGINS,
      "access-control-request-method": "GET",
      "x-http-method-override": "GET",
      "x-original-url": `/api/crew-runs/${id}`,
      "x-forwarded-user": "owner",
    };
    for (const method of ["GET", "HEAD", "POST", "OPTIONS", "QUERY"]) {
      const { response, body } = await observe(() => worker.fetch(pattern.replaceAll("ID", id), { method, headers }));
      expect([204, 401, 404, 405]).toContain(response.status);
      expect(body).not.toContain("owner");
    }
    await worker.settle();
    expect((await database.counters()).received).toBe(0);
    // A request without a credential has no business with the issuer.
    expect((await issuer.lane.counters()).received).toBe(received);
  });

  test("a run that is there, one that is not and an id that is none are refused alike", async () => {
    const worker = startWorker(issuer.variables);
    for (const run of [id, crypto.randomUUID(), "no-uuid", "x".repeat(4_000), "%00", "%"]) {
      expectNoCredentials(await observe(() => worker.fetch(`/api/crew-runs/${run}`)));
      const head = await worker.fetch(`/api/crew-runs/${run}`, { method: "HEAD" });
      expect([head.status, await head.text()]).toEqual([401, ""]);
    }
  });
});

describe("a claim that the deployment names", () => {
  test.for(["__proto__", "constructor", "toString"])("is none that every object has: %s", async (name) => {
    const send = async (variables: Record<string, string>) => {
      const worker = startWorker({ ...issuer.variables, ...variables });
      const headers = bearer(await issuer.sign());
      return observe(() => worker.fetch(`/api/crew-runs/${id}`, { headers }));
    };
    expectInvalidToken(await send({ SUBJECT_CLAIM: name }), `no_subject: ${name}`);
    for (const audience of ["Object", "function", "[object", "undefined", name]) {
      expectInvalidToken(await send({ AUDIENCE_CLAIM: name, JWT_AUDIENCE: audience }), `wrong_audience: ${name}`);
    }
  });

  test("is not found by a path where only rights are", async () => {
    const variables = { ...issuer.variables, SUBJECT_CLAIM: "act.sub", AUDIENCE_CLAIM: "act.aud" };
    const token = await issuer.sign({ act: { sub: "owner", aud: inject("stack").variables.JWT_AUDIENCE } });
    expect(await read(startWorker(variables), token)).toBe(401);
  });

  test("counts alone: the usual claim of the name does not stand in for it", async () => {
    const token = await issuer.sign({ uid: undefined, azp: undefined });
    expect(await read(startWorker({ ...issuer.variables, SUBJECT_CLAIM: "uid" }), token)).toBe(401);
    expect(await read(startWorker({ ...issuer.variables, AUDIENCE_CLAIM: "azp" }), token)).toBe(401);
  });

  test("__proto__ in the payload changes nothing but itself", async () => {
    const header = { alg: "ES256", typ: "at+jwt", kid: key.jwk.kid };
    const { JWT_AUDIENCE } = inject("stack").variables;
    const payload = { iss: issuer.variables.JWT_ISSUER, aud: JWT_AUDIENCE, sub: "owner", ...hour() };
    const rights = `{"scope":"crew-runs:admin","sub":"somebody-else","cnf":{}}`;
    const text = JSON.stringify(payload).replace(/}$/, `,"__proto__":${rights}}`);
    const foreign = await insertRun({ owner_id: "somebody-else" });
    const token = await forge(header, text, key);
    const worker = startWorker(issuer.variables);
    expect(await read(worker, token, foreign)).toBe(404);
    expect(await read(worker, token)).toBe(200);
    expect(Object.hasOwn(Object.prototype, "scope")).toBe(false);
  });
});

describe("the log", () => {
  test.for([
    ["omit", undefined],
    ["hash", "4c1029697ee358715d3a14a2add817c4"],
    ["plain", "owner"],
  ] as const)("names the reader as LOG_SUBJECT says (%s), and holds nothing of the token", async ([policy, name]) => {
    const worker = startWorker({ ...issuer.variables, LOG_SUBJECT: policy });
    const token = await issuer.sign();
    for (const auth of ["verified", "remembered"]) {
      const observed = await observe(() => worker.fetch(`/api/crew-runs/${id}`, { headers: bearer(token) }));
      expect(observed.response.status).toBe(200);
      expectNoLeak({ ...observed, body: "" }, [token]);
      const line: { subject?: string } = JSON.parse(observed.lines[0] ?? "");
      expect(line).toMatchObject({ auth, status: 200 });
      expect(line.subject).toBe(name?.slice(0, 16));
    }
  });

  test("holds nothing of a token that is put where none belongs", async () => {
    const worker = startWorker(issuer.variables);
    const token = await issuer.sign();
    const headers = { "x-request-id": token, traceparent: token, referer: token, "user-agent": token, cookie: token };
    for (const path of [`/api/crew-runs/${token}`, `/api/crew-runs/${id}?access_token=${token}`, `/${token}`]) {
      const observed = await observe(() => worker.fetch(path, { headers }));
      expect([401, 404]).toContain(observed.response.status);
      expectNoLeak(observed, [token]);
    }
  });
});
