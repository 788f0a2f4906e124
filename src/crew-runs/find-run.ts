// Finds a run where it is kept, or in the database. Gives nothing before the token is vouched for.
// Knows who asks; knows nothing of headers or statuses.
import type { Access } from "../auth/authenticator.ts";
import { Failure } from "../failure.ts";
import type { Reader } from "../reader.ts";
import type { Service } from "../service.ts";
import type { Trace } from "../trace.ts";
import type { FoundRun } from "./kept-runs.ts";
import { type Run, makeRun } from "./record.ts";

/**
 * The run, when the token is vouched for. Fails with `run_not_found`, `rate_limited`, as `CrewRunStore.find` and as
 * `access.vouched`.
 */
export async function findRun(service: Service, id: string, access: Access, trace: Trace): Promise<FoundRun> {
  let found = await service.kept.find(id, access.reader);
  if (found !== undefined) await access.vouched;
  else {
    trace.notes.cache = "miss";
    try {
      return { run: await readRun(service, id, access, trace) };
    } catch (error) {
      // While the database fails, another isolate may have kept the run.
      if (!(error instanceof Failure) || error.code !== "database_unavailable") throw error;
      found = await service.kept.find(id, access.reader, true);
      if (found === undefined) throw error;
    }
  }
  Object.assign(trace.notes, { cache: "hit", cache_layer: found.layer });
  return found;
}

async function readRun(service: Service, id: string, access: Access, trace: Trace): Promise<Run> {
  const { store, kept } = service;
  const { reader, vouched } = access;
  if (vouched === undefined) await countRead(service, reader, trace);
  const readMs = Date.now();
  const row = await (vouched === undefined ? store.find(id, reader, trace) : readBeside(vouched));
  if (row === undefined) throw new Failure("run_not_found");
  const run = await makeRun(row, readMs);
  await kept.keep(run, reader, trace);
  return run;

  /**
   * Where the keys are being refreshed, the two round trips go out together: a token that the refreshed keys refuse has cost
   * this one query, and its answer is thrown away.
   */
  async function readBeside(vouching: Promise<unknown>) {
    const stop = new AbortController();
    const reading = store.find(id, reader, trace, { signal: stop.signal });
    const admitting = vouching.then(() => countRead(service, reader, trace));
    admitting.catch(() => stop.abort());
    await Promise.allSettled([reading, admitting]);
    await admitting;
    return reading;
  }
}

/** Counts a read that reaches the database. A limiter that fails lets it pass: it is a brake, not a gate. */
async function countRead({ rateLimiter }: Service, { subject }: Reader, trace: Trace): Promise<void> {
  const counted = await rateLimiter?.limit({ key: subject }).catch(() => {
    trace.notes.rate_limit = "failed";
  });
  if (counted?.success === false) throw new Failure("rate_limited");
}
