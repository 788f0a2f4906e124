// The cached copies of finished runs are the Worker's own: no request reaches an entry of the data-center cache or leaves one
// there, no cached response has anything of an earlier request, and no older state replaces a newer one.
import { expect, test, vi } from "vitest";
import { bearer, createTestApp } from "../support/test-app.ts";
import { insertRun, updateRun } from "../support/database.ts";
import { openDatabaseProxy } from "../support/fault-proxy.ts";
import { untilHeld } from "../support/fault-proxy-protocol.ts";
import { fetchToken } from "../support/issuer.ts";

test("no path of the public API reads or writes an entry of the data-center cache", async () => {
  const put = vi.spyOn(Cache.prototype, "put");
  const match = vi.spyOn(Cache.prototype, "match");
  const app = createTestApp();
  const token = bearer(await fetchToken("owner"));
  const id = await insertRun({ status: "completed", result: "kept" });
  await (await app.fetch(`/api/crew-runs/${id}`, { headers: token })).text();
  await app.settle();
  const keys = put.mock.calls.map(([key]) => String(key));
  // The key set, and the run for its owner and for admins.
  expect(keys.map((key) => key.includes(id)).toSorted()).toEqual([false, true, true]);
  const cache = await caches.open("crew-runs");
  const readEntries = () => Promise.all(keys.map(async (key) => (await cache.match(key))?.text()));
  const entries = await readEntries();
  expect(entries.filter((text) => text?.includes("kept"))).toHaveLength(2);
  put.mockClear();
  match.mockClear();

  const [origin, area] = ["https://api.test", "/.crew-runs/"];
  for (const path of [...keys.map((key) => key.slice(origin.length)), area, `${area}x`]) {
    for (const headers of [{}, token]) {
      for (const method of ["GET", "HEAD", "PUT", "DELETE", "PURGE"]) {
        const response = await app.fetch(path, { method, headers });
        expect(response.status).toBe(404);
        const body = { detail: "Not Found", code: "not_found", request_id: response.headers.get("x-request-id") };
        if (method !== "HEAD") expect(await response.json()).toEqual(body);
      }
    }
  }
  const documents = ["/", "/health", "/ready", "/.well-known/oauth-protected-resource", "/nowhere"];
  const others = [...documents, `/api/crew-runs/${id}`];
  for (const path of others) await (await app.fetch(path)).text();
  await app.settle();
  expect(put).not.toHaveBeenCalled();
  expect(match).not.toHaveBeenCalled();
  expect(await readEntries()).toEqual(entries);
  for (const path of others) expect(await cache.match(origin + path)).toBeUndefined();
  vi.restoreAllMocks();
});

test("a response from memory has no header of the request before it", async () => {
  const app = createTestApp({ CORS_ORIGINS: "https://a.test https://b.test" });
  const id = await insertRun({ status: "completed" });
  const headers = bearer(await fetchToken("owner"));
  await app.fetch(`/api/crew-runs/${id}`, { headers });
  for (const origin of ["https://a.test", "https://b.test", "https://evil.test"]) {
    const more = { origin, "x-request-id": origin.slice(8) };
    const answer = await app.fetch(`/api/crew-runs/${id}`, { headers: { ...headers, ...more } });
    expect(answer.headers.get("cache-status")).toContain("hit");
    expect(answer.headers.get("vary")).toBe("Origin, Authorization");
    expect(answer.headers.get("access-control-allow-origin")).toBe(origin.includes("evil") ? null : origin);
    expect(answer.headers.get("x-request-id")).toBe(origin.slice(8));
  }
});

test("a slow read does not put an older state of a finished run over a newer one", async () => {
  const proxy = await openDatabaseProxy();
  const app = createTestApp({ NEON_FETCH_ENDPOINT: proxy.url });
  const id = await insertRun({ status: "completed", result: "first" });
  const [owner, admin] = await Promise.all([fetchToken("owner"), fetchToken("admin")]);
  const read = (token: string) => app.fetch(`/api/crew-runs/${id}`, { headers: bearer(token) });
  // The database's reply to the first reader is held. Meanwhile the run is corrected, and another reader gets it.
  await proxy.fail({ kind: "hold-response", times: 1 });
  const slow = read(owner);
  await untilHeld(proxy);
  await updateRun(id, "result = 'corrected'");
  expect(await (await read(admin)).json()).toMatchObject({ result: "corrected" });
  await proxy.heal();
  expect(await (await slow).json()).toMatchObject({ result: "first" });
  expect(await (await read(admin)).json()).toMatchObject({ result: "corrected" });
  await app.settle();
});
