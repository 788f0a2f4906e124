import { beforeEach, expect, test, vi } from "vitest";
import { fetchToken } from "./issuer.ts";
import { insertRun } from "./rows.ts";
import { bearer, startWorker } from "./worker.ts";

const log = vi.spyOn(console, "log");
beforeEach(() => void log.mockClear());

const lines = (): Record<string, unknown>[] => log.mock.calls.map(([line]) => JSON.parse(String(line)));

test("a sane x-request-id is kept, in the header, the error's body and the log line", async () => {
  const response = await startWorker().fetch("/nowhere", { headers: { "x-request-id": "abc-123._:Z" } });
  expect(response.headers.get("x-request-id")).toBe("abc-123._:Z");
  expect(await response.json()).toMatchObject({ request_id: "abc-123._:Z" });
  expect(lines()).toEqual([expect.objectContaining({ request_id: "abc-123._:Z", status: 404, code: "not_found" })]);
});

test.each([
  ["empty", ""],
  ["too long", "a".repeat(129)],
  ["with a quote", 'a"b'],
  ["with a space", "a b"],
  ["beyond ASCII", "é"],
])("an x-request-id that is %s is replaced by a fresh one", async (_, given) => {
  const response = await startWorker().fetch("/nowhere", { headers: { "x-request-id": given } });
  expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
});

test("every answer forbids sniffing and referrers; over https it pins https", async () => {
  const worker = startWorker();
  for (const path of ["/nowhere", "/health", "/api/crew-runs/x"]) {
    const { headers } = await worker.fetch(path);
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
    expect(headers.get("strict-transport-security")).toBe("max-age=31536000");
  }
});

test("one line a request tells what happened, with the trace it belongs to and nothing of the token", async () => {
  const token = await fetchToken("owner");
  const id = await insertRun();
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const response = await startWorker().fetch(`/api/crew-runs/${id}`, {
    headers: { ...bearer(token), traceparent },
  });
  expect(lines()).toEqual([
    {
      level: "info",
      request_id: response.headers.get("x-request-id"),
      trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
      method: "GET",
      route: "/api/crew-runs/:run_id",
      run_id: id,
      status: 200,
      ms: expect.any(Number),
      colo: "",
      auth: "verified",
      key_set: expect.any(String),
      cache: "miss",
      db_attempts: 1,
      db_ms: expect.any(Number),
    },
  ]);
  expect(response.headers.get("server-timing")).toMatch(
    /^total;dur=\d+, auth;desc=verified, cache;desc=miss, db;dur=\d+$/,
  );
});

test.each([
  ["omit", undefined],
  ["plain", "owner"],
  ["hash", "4c1029697ee358715d3a14a2add817c4"],
])("LOG_SUBJECT=%s decides what the log calls the reader", async (policy, expected) => {
  const worker = startWorker({ LOG_SUBJECT: policy });
  const headers = bearer(await fetchToken("owner"));
  for (let time = 0; time < 2; time += 1) await worker.fetch("/api/crew-runs/x", { headers });
  const subjects = lines().map((line) => line["subject"]);
  expect(subjects).toHaveLength(2);
  for (const subject of subjects) {
    expect(expected?.startsWith(String(subject)) ?? subject === undefined).toBe(true);
  }
});
