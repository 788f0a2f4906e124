// For a stranger, another user's run is the same response and the same work as a missing one: for each kind of request, whatever is
// cached, and from the moment on at which it changed hands.
import { expect, test, vi } from "vitest";
import { bearer, createTestApp } from "../support/test-app.ts";
import { insertRun, updateRun } from "../support/database.ts";
import { openDatabaseProxy } from "../support/fault-proxy.ts";
import { fetchToken } from "../support/issuer.ts";

/** The parts of a response that a client can compare, without those that differ from request to request. */
async function describeAnswer(response: Response) {
  const headers = [...response.headers].filter(([name]) => !["x-request-id", "server-timing"].includes(name));
  const body = (await response.text()).replace(/"request_id":"[^"]*"/, "");
  return { status: response.status, headers, body };
}

test.each<[string, string, Record<string, string>]>([
  ["plainly", "GET", {}],
  ["with HEAD", "HEAD", {}],
  ["with its very tag", "GET", { "if-none-match": "TAG" }],
  ["with any tag", "GET", { "if-none-match": "*" }],
  ["with its weak tag and a wait", "GET", { "if-none-match": "W/TAG", prefer: "wait=5" }],
  ["with a wait", "GET", { prefer: "wait=5" }],
  ["with a range", "GET", { range: "bytes=0-1" }],
])("a stranger gets the same response for a run %s as for a missing run", async (_, method, given) => {
  const proxy = await openDatabaseProxy();
  const app = createTestApp({ NEON_FETCH_ENDPOINT: proxy.url });
  const match = vi.spyOn(Cache.prototype, "match");
  const [owner, stranger] = await Promise.all([fetchToken("owner"), fetchToken("stranger")]);
  for (const status of ["running", "completed"] as const) {
    const id = await insertRun({ status });
    const own = await app.fetch(`/api/crew-runs/${id}`, { headers: bearer(owner) });
    const tag = own.headers.get("etag") ?? "";
    expect(tag).not.toBe("");
    await app.settle();
    const headers = {
      ...JSON.parse(JSON.stringify(given).replace("TAG", tag.replaceAll('"', '\\"'))),
      ...bearer(stranger),
    };
    const ask = async (target: string) => {
      match.mockClear();
      const before = await proxy.received();
      const answer = await describeAnswer(await app.fetch(`/api/crew-runs/${target}`, { method, headers }));
      const lookUps = match.mock.calls.filter(([key]) => String(key).includes(target)).length;
      return { ...answer, queries: (await proxy.received()) - before, lookUps };
    };
    const theirs = await ask(id);
    expect(theirs).toEqual(await ask(crypto.randomUUID()));
    expect(theirs).toMatchObject({ status: 404, queries: 1 });
    if (method === "GET") expect(theirs.body).toBe(`{"detail":"Run not found","code":"run_not_found",}`);
  }
  match.mockRestore();
});

test("an unfinished run with a new owner is shown to the old one neither by a tag, nor by a cache, nor by a wait", async () => {
  const app = createTestApp();
  const id = await insertRun();
  const [owner, stranger] = await Promise.all([fetchToken("owner"), fetchToken("stranger")]);
  const read = (token: string, more: Record<string, string> = {}) =>
    app.fetch(`/api/crew-runs/${id}`, { headers: { ...bearer(token), ...more } });
  const tag = (await read(owner)).headers.get("etag") ?? "";
  const waiting = read(owner, { prefer: "wait=1" });
  await scheduler.wait(200);
  await updateRun(id, "owner_id = 'stranger'");
  expect((await waiting).status).toBe(404);
  expect((await read(owner, { "if-none-match": tag })).status).toBe(404);
  const theirs = await read(stranger, { "if-none-match": tag });
  expect(theirs.status).toBe(200);
  expect(await theirs.json()).toMatchObject({ id, owner_id: "stranger" });
});
