// Finished runs that were read: kept in the isolate's memory and in the data centre's cache, and served as they were.
// To anyone but the owner and admins a kept run looks like a missing one: same answer, same look-ups.
import { isRecent } from "../clock.ts";
import type { DataCentreCache } from "../data-centre-cache.ts";
import { digestText } from "../digest.ts";
import type { Reader } from "../reader.ts";
import type { Settings } from "../settings.ts";
import type { Trace } from "../trace.ts";
import { type Run, canSee } from "./record.ts";
import { createRunMemory } from "./run-memory.ts";

/** Of the isolate's 128 MB; docs/cost-and-limits.md counts the rest. */
const MAX_KEPT_BYTES = 16_777_216;
/** A larger run would push out many others: the data centre keeps it. */
const MAX_KEPT_RUN_BYTES = 2_097_152;
/** Runs seen unfinished: a poll of one of them need not look into the data centre's cache first. */
const MAX_UNFINISHED = 4_096;

export interface FoundRun {
  run: Run;
  /** Where it was kept; undefined where the database was asked. */
  layer?: "isolate" | "data_centre";
}

export type KeptRuns = ReturnType<typeof createKeptRuns>;

/** `version` is that of the deployment: another one may write a record otherwise. */
export function createKeptRuns(settings: Settings, cache: DataCentreCache, version: string | undefined) {
  const ttlMs = settings.FINISHED_RUN_TTL_SECONDS * 1_000;
  const memory = createRunMemory(MAX_KEPT_BYTES, MAX_KEPT_RUN_BYTES);
  const unfinished = new Set<string>();
  let namespace: string | undefined;

  const serves = (run: Run, reader: Reader) => isRecent(run.readMs, ttlMs) && canSee(run, reader);

  /**
   * The finished run, if one is kept and the reader may see it. A run that this reader's last read found unfinished is not
   * looked for in the data centre's cache, unless `anyway`.
   */
  async function find(id: string, reader: Reader, anyway = false): Promise<FoundRun | undefined> {
    if (ttlMs === 0) return undefined;
    const known = memory.get(id);
    if (known !== undefined && serves(known, reader)) return { run: known, layer: "isolate" };
    const path = await pathOf(id, reader);
    const run = anyway || !unfinished.has(path) ? await cache.read(path, readEntry) : undefined;
    if (run === undefined || !serves(run, reader)) return undefined;
    memory.set(run);
    return { run, layer: "data_centre" };
  }

  /** Takes note of a run that was read: keeps it, for its owner and for admins, if it is finished. */
  async function keep(run: Run, reader: Reader, trace: Trace): Promise<void> {
    if (ttlMs === 0) return;
    const path = await pathOf(run.id, reader);
    if (!run.isFinal) {
      if (unfinished.size >= MAX_UNFINISHED) unfinished.clear();
      unfinished.add(path);
      return;
    }
    unfinished.delete(path);
    // A slow read must not put an older state over a newer one.
    const known = memory.get(run.id);
    if (known !== undefined && isRecent(known.readMs, ttlMs) && known.readMs > run.readMs) return;
    memory.set(run);
    trace.finishLater(share(run));
  }

  async function share({ body, ...about }: Run): Promise<void> {
    // Encoded, because an owner's name may hold what a header may not.
    const headers = { "x-run": encodeURIComponent(JSON.stringify(about)) };
    for (const isAdmin of [false, true]) {
      await cache.write(await pathOf(about.id, { subject: about.ownerId, isAdmin }), body, headers, ttlMs / 1_000);
    }
  }

  /**
   * URL-safe, and never the same for an admin and for a user. Entries outlive a deployment: those of another program, database
   * or issuer must not be met.
   */
  async function pathOf(id: string, { subject, isAdmin }: Reader): Promise<string> {
    const { DATABASE_URL, NEON_FETCH_ENDPOINT, JWT_ISSUER, SUBJECT_CLAIM } = settings;
    namespace ??= await digestText(
      JSON.stringify([version, DATABASE_URL, NEON_FETCH_ENDPOINT, JWT_ISSUER, SUBJECT_CLAIM]),
    );
    return `runs/${namespace}/${id}/${isAdmin ? "admins" : `of/${encodeURIComponent(subject)}`}`;
  }

  return { find, keep };
}

function readEntry(headers: Headers, body: Uint8Array): Run {
  return { ...JSON.parse(decodeURIComponent(headers.get("x-run") ?? "")), body };
}
