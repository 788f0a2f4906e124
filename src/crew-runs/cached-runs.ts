// Finished runs that were read: cached in the isolate's memory and in the data center, and served as they were read.
// To anyone but the owner and admins a cached run looks like a missing one: same response, same lookups.
import { isRecent } from "../isolate/clock.ts";
import type { DataCenterCache } from "../isolate/data-center-cache.ts";
import { digestText } from "../isolate/digest.ts";
import type { Reader, WaitUntil } from "../request.ts";
import type { Settings } from "../settings.ts";
import { createMemoryCache } from "./memory-cache.ts";
import { type Run, canSee } from "./record.ts";

/** Of the isolate's 128 MB. */
const MAX_MEMORY_BYTES = 16_777_216;
/** A larger run would evict many others; the data center caches it. */
const MAX_RUN_BYTES = 2_097_152;
/** Runs seen unfinished: a poll of one of them needs no lookup in the data-center cache first. */
const MAX_UNFINISHED = 4_096;

export interface FoundRun {
  run: Run;
  /** The cache that it comes from; undefined if it was read from the database. */
  layer?: "isolate" | "data_center";
  /** Whether it was waited for. */
  hasWaited?: boolean;
}

export interface CachedRuns {
  /** Returns the finished run if this isolate has it in memory and the reader may see it. */
  findInMemory(id: string, reader: Reader): FoundRun | undefined;
  /** As `findInMemory`, in the data-center cache. If the reader's last read found the run unfinished, only `inOutage`. */
  findShared(id: string, reader: Reader, origin: string, inOutage?: boolean): Promise<FoundRun | undefined>;
  /** Caches a run that was read, for its owner and for admins, if it is finished; else notes that it isn't. Returns the run. */
  add(run: Run, reader: Reader, origin: string): Promise<FoundRun>;
}

/** `version` is the deployment's. It is part of the cache key, because another version may serialize a record differently. */
export function createCachedRuns(
  settings: Settings,
  cache: DataCenterCache,
  version: string | undefined,
  waitUntil: WaitUntil,
): CachedRuns {
  const ttlMs = settings.FINISHED_RUN_TTL_SECONDS * 1_000;
  const memory = createMemoryCache(MAX_MEMORY_BYTES, MAX_RUN_BYTES);
  const unfinished = new Set<string>();
  let namespace: string | undefined;

  const isServable = (run: Run, reader: Reader) => isRecent(run.readMs, ttlMs) && canSee(run, reader);

  function findInMemory(id: string, reader: Reader): FoundRun | undefined {
    const run = memory.get(id);
    return run !== undefined && isServable(run, reader) ? { run, layer: "isolate" } : undefined;
  }

  const findShared: CachedRuns["findShared"] = async (id, reader, origin, inOutage = false) => {
    if (ttlMs === 0) return undefined;
    const path = await pathOf(id, reader);
    if (unfinished.has(path) && !inOutage) return undefined;
    const run = await cache.read(origin, path, readEntry);
    if (run === undefined || !isServable(run, reader)) return undefined;
    memory.set(run);
    return { run, layer: "data_center" };
  };

  async function add(run: Run, reader: Reader, origin: string): Promise<FoundRun> {
    if (ttlMs === 0) return { run };
    const path = await pathOf(run.id, reader);
    if (!run.isFinished) {
      if (unfinished.size >= MAX_UNFINISHED) unfinished.clear();
      unfinished.add(path);
      return { run };
    }
    unfinished.delete(path);
    memory.set(run);
    waitUntil(store(run, origin));
    return { run };
  }

  /** Stores the run in the data-center cache: one entry for its owner, one for admins. */
  async function store({ body, ...about }: Run, origin: string): Promise<void> {
    // Encoded, because an owner's name may contain characters that a header can't.
    const headers = { "x-run": encodeURIComponent(JSON.stringify(about)) };
    const write = async (isAdmin: boolean) => {
      const path = await pathOf(about.id, { subject: about.ownerId, isAdmin });
      await cache.write(origin, path, body, headers, ttlMs / 1_000);
    };
    await Promise.all([write(false), write(true)]);
  }

  /**
   * URL-safe, and never the same for an admin and for a user. Entries outlive a deployment, so those of another version,
   * database or issuer have another path.
   */
  async function pathOf(id: string, { subject, isAdmin }: Reader): Promise<string> {
    const { DATABASE_URL, NEON_FETCH_ENDPOINT, JWT_ISSUER, SUBJECT_CLAIM } = settings;
    const sources = [version, DATABASE_URL, NEON_FETCH_ENDPOINT, JWT_ISSUER, SUBJECT_CLAIM];
    namespace ??= await digestText(JSON.stringify(sources));
    return `runs/${namespace}/${id}/${isAdmin ? "admins" : `of/${encodeURIComponent(subject)}`}`;
  }

  return { findInMemory, findShared, add };
}

function readEntry(headers: Headers, body: Uint8Array): Run {
  return { ...JSON.parse(decodeURIComponent(headers.get("x-run") ?? "")), body };
}
