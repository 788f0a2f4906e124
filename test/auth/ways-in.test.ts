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

describe("a key that the issuer withdraws", () => {
  async function start() {
    const [old, next] = await Promise.all([makeKey("ES256"), makeKey("ES256")]);
    const other = await openIssuer([old]);
    const worker = startWorker(other.variables);
    const token = await other.sign(hour());
    expect(await read(worker, token)).toBe(200);
    await worker.settle();
    return { other, worker, token, old, next };
  }

  test("gets nobody in after 10 minutes, not even who was remembered", async () => {
    const { other, worker, token, next } = await start();
    await other.publish([next.jwk]);
    pass(8 * MINUTE_MS + 1_000);
    // The refresh ahead is behind this request's back.
    expect(await read(worker, token)).toBe(200);
    await worker.settle();
    expect(await read(worker, token)).toBe(401);
  });

  test("gets nobody in after 10 minutes, even where nobody asked meanwhile", async () => {
    const { other, worker, token, next } = await start();
    await other.publish([next.jwk]);
    pass(30 * MINUTE_MS);
    expect(await read(worker, token)).toBe(401);
  });

  test("gets nobody in as soon as a token with the next key was seen", async () => {
    const { other, worker, token, next } = await start();
    await other.publish([next.jwk]);
    pass(11_000);
    expect(await read(worker, await other.sign({}, { key: next }))).toBe(200);
    expect(await read(worker, token)).toBe(401);
  });

  test("gets nobody in where it is published for encryption from then on", async () => {
    const { other, worker, token, old, next } = await start();
    await other.publish([{ ...old.jwk, use: "enc" }, next.jwk]);
    pass(8 * MINUTE_MS + 1_000);
    await read(worker, token);
    await worker.settle();
    expect(await read(worker, token)).toBe(401);
  });

  test("gets nobody in to an isolate that starts later, with the data centre's copy", async () => {
    const { other, token, next } = await start();
    await other.publish([next.jwk]);
    pass(10 * MINUTE_MS);
    expect(await read(startWorker(other.variables), token)).toBe(401);
  });
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

  const subjects = [
    "..",
    ".",
    "admins",
    "../admins",
    "%2e%2e",
    "%2E%2E/admins",
    "of/owner",
    "Owner",
    "owner ",
    " owner",
    "own%65r",
    "owner/../owner",
    "o\u0077ner\u200b",
    "*",
    "%",
    "_____",
  ];

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

describe("without a token", () => {
  const UPPER = "API/CREW-RUNS";
  test.for([
    ["GET", (run: string) => `/api/crew-runs/${run}`],
    ["HEAD", (run: string) => `/api/crew-runs/${run}`],
    ["GET", (run: string) => `/api/crew-runs/${run}/`],
    ["GET", (run: string) => `/api/crew-runs//${run}`],
    ["GET", (run: string) => `//api/crew-runs/${run}`],
    ["GET", (run: string) => `/api//crew-runs/${run}`],
    ["GET", (run: string) => `/${UPPER}/${run}`],
    ["GET", (run: string) => `/api/crew-runs/${run}.json`],
    ["GET", (run: string) => `/api/crew-runs/${run};x=1`],
    ["GET", (run: string) => `/api/crew-runs/${run}%00`],
    ["GET", (run: string) => `/api/crew-runs/${run}%2F..`],
    ["GET", (run: string) => `/api/crew-runs/x%2F..%2F${run}`],
    ["GET", (run: string) => `/api/crew-runs/x/../${run}`],
    ["GET", (run: string) => `/docs/../api/crew-runs/${run}`],
    ["GET", (run: string) => `/docs/..%2Fapi%2Fcrew-runs%2F${run}`],
    ["GET", (run: string) => `/docs/%2e%2e/api/crew-runs/${run}`],
    ["GET", (run: string) => `/docs\\..\\api\\crew-runs\\${run}`],
    ["GET", (run: string) => `/api%2Fcrew-runs%2F${run}`],
    ["GET", (run: string) => `/%61pi/crew-runs/${run}`],
    ["GET", (run: string) => `/api/crew-runs/%7B${run}%7D`],
    ["GET", (run: string) => `/api/crew-runs/urn:uuid:${run}`],
    ["GET", (run: string) => `/api/crew-runs/${run}?run_id=${run}#x`],
    ["GET", () => "/api/crew-runs/%E0%A4%A"],
    ["GET", () => "/api/crew-runs/"],
    ["GET", () => "/api/crew-runs"],
    ["POST", (run: string) => `/api/crew-runs/${run}`],
    ["OPTIONS", (run: string) => `/api/crew-runs/${run}`],
    ["QUERY", (run: string) => `/api/crew-runs/${run}`],
    ["get", (run: string) => `/api/crew-runs/${run}`],
  ] as const)("%s %s tells nothing of a run", async ([method, make]) => {
    const database = await openLane(inject("stack").variables.NEON_FETCH_ENDPOINT);
    const worker = startWorker({
      ...issuer.variables,
      NEON_FETCH_ENDPOINT: database.url,
      CORS_ORIGINS: "https://app.example.com",
    });
    const headers = {
      origin: "https://app.example.com",
      "access-control-request-method": "GET",
      "x-http-method-override": "GET",
      "x-original-url": `/api/crew-runs/${id}`,
      "x-forwarded-user": "owner",
      "x-user-id": "owner",
    };
    const observed = await observe(() => worker.fetch(make(id), { method, headers }));
    expect([204, 401, 404, 405]).toContain(observed.response.status);
    expect(observed.body).not.toContain("owner");
    expect((await database.counters()).received).toBe(0);
    expect(await issuerAsked(worker)).toBe(false);
  });

  /** A request without a credential has no business with the issuer. */
  async function issuerAsked(worker: Worker): Promise<boolean> {
    await worker.settle();
    const { received } = await issuer.lane.counters();
    const asked = received !== receivedBefore;
    receivedBefore = received;
    return asked;
  }
  let receivedBefore = 0;
  beforeEach(async () => {
    receivedBefore = (await issuer.lane.counters()).received;
  });

  test("HEAD is refused as GET is, without a body", async () => {
    const worker = startWorker(issuer.variables);
    const [head, get] = [
      await worker.fetch(`/api/crew-runs/${id}`, { method: "HEAD" }),
      await observe(() => worker.fetch(`/api/crew-runs/${id}`)),
    ];
    expectNoCredentials(get);
    expect(head.status).toBe(401);
    expect(await head.text()).toBe("");
    expect(head.headers.get("www-authenticate")).toBe(get.response.headers.get("www-authenticate"));
  });

  test("a run that is there, one that is not and an id that is none are refused alike", async () => {
    const worker = startWorker(issuer.variables);
    for (const run of [id, crypto.randomUUID(), "no-uuid", "x".repeat(4_000), "%00", "%"]) {
      expectNoCredentials(await observe(() => worker.fetch(`/api/crew-runs/${run}`)));
    }
  });
});

describe("a claim that the deployment names", () => {
  const inherited = ["__proto__", "constructor", "toString", "valueOf", "hasOwnProperty", "__defineGetter__"];

  test.for(inherited)("%s is no subject where the token has no such claim", async (name) => {
    const worker = startWorker({ ...issuer.variables, SUBJECT_CLAIM: name });
    const token = await issuer.sign();
    const observed = await observe(() => worker.fetch(`/api/crew-runs/${id}`, { headers: bearer(token) }));
    expectInvalidToken(observed, `no_subject: ${name}`);
  });

  test.for(inherited)("%s is no audience where the token has no such claim", async (name) => {
    for (const audience of ["Object", "function", "[object", "undefined", "null", name]) {
      const worker = startWorker({ ...issuer.variables, AUDIENCE_CLAIM: name, JWT_AUDIENCE: audience });
      const token = await issuer.sign();
      const observed = await observe(() => worker.fetch(`/api/crew-runs/${id}`, { headers: bearer(token) }));
      expectInvalidToken(observed, `wrong_audience: ${name}`);
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
