// Waits share their looks for 1,024 runs at most, so nothing of a wait may stay behind when its client has left or its time is
// up: the next run would find no room.
import { expect, test } from "vitest";
import { bearer, createTestApp } from "../support/test-app.ts";
import { connectAsOwner, insertRun } from "../support/database.ts";
import { openDatabaseProxy } from "../support/fault-proxy.ts";
import { fetchToken } from "../support/issuer.ts";

const MAX_WATCHES = 1_024;
const CROWD = 10;
/** One wait of two seconds looks after 0.5, 1.25 and 2 seconds; a busy machine makes some of these looks twice. */
const MAX_LOOKS = 15;

test("a thousand runs that were waited for leave room to share the looks at the next", async () => {
  const proxy = await openDatabaseProxy();
  const app = createTestApp({ NEON_FETCH_ENDPOINT: proxy.url });
  const headers = { ...bearer(await fetchToken("owner")), prefer: "wait=2" };
  const insert = `insert into crew_runs (id, correlation_id, owner_id, status)
    select gen_random_uuid(), 'c', 'owner', 'pending' from generate_series(1, ${MAX_WATCHES}) returning id`;
  const signal = AbortSignal.abort();
  const rows = await connectAsOwner().query(insert);
  while (rows.length > 0) {
    const leave = async ({ id }: { id?: string }) => app.fetch(`/api/crew-runs/${id}`, { headers, signal });
    for (const { status } of await Promise.all(rows.splice(0, 64).map(leave))) expect(status).toBe(499);
  }
  const id = await insertRun();
  const received = await proxy.received();
  const wait = async () => (await app.fetch(`/api/crew-runs/${id}`, { headers })).status;
  expect(await Promise.all(Array.from({ length: CROWD }, wait))).toEqual(Array(CROWD).fill(200));
  expect((await proxy.received()) - received).toBeLessThanOrEqual(CROWD + MAX_LOOKS);
}, 20_000);
