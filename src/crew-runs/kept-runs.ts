// Finished runs that were read: kept in the isolate's memory and in the data centre's cache, and served as they were.
// To anyone but the owner and admins a kept run looks like a missing one: same answer, same look-ups.
import type { DataCentreCache } from "../data-centre-cache.ts";
import { digestText } from "../digest.ts";
import { isRecent } from "../clock.ts";
import type { Settings } from "../settings.ts";
import type { Trace } from "../trace.ts";
import { type Run, type Viewer, canSee } from "./record.ts";
import { RunMemory } from "./run-memory.ts";

/** Of the isolate's 128 MB; docs/cost-and-limits.md counts the rest. */
const MAX_KEPT_BYTES = 16_777_216;
/** A larger run would push out many others: the data centre keeps it. */
const MAX_KEPT_RUN_BYTES = 2_097_152;
/** Runs seen unfinished: a poll of one of them need not look into the data centre's cache first. */
const MAX_UNFINISHED = 4_096;

export interface FoundRun {
  run: Run;
  /** Where it was kept; undefined where the database was asked. */
  layer: "isolate" | "data_centre" | undefined;
}

export class KeptRuns {
  readonly #settings: Settings;
  readonly #cache: DataCentreCache;
  readonly #version: string | undefined;
  readonly #ttlMs: number;
  readonly #memory = new RunMemory(MAX_KEPT_BYTES, MAX_KEPT_RUN_BYTES);
  readonly #unfinished = new Set<string>();
  #namespace: string | undefined;

  /** `version` is that of the deployment: another one may write a record otherwise. */
  constructor(settings: Settings, cache: DataCentreCache, version: string | undefined) {
    this.#settings = settings;
    this.#cache = cache;
    this.#version = version;
    this.#ttlMs = settings.FINISHED_RUN_TTL_SECONDS * 1_000;
  }

  /**
   * The finished run, if one is kept and the reader may see it. A run that this reader's last read found unfinished is not
   * looked for in the data centre's cache, unless `anyway`.
   */
  async find(id: string, reader: Viewer, anyway = false): Promise<FoundRun | undefined> {
    if (this.#ttlMs === 0) return undefined;
    const run = this.#memory.get(id);
    if (run !== undefined && this.#serves(run, reader)) return { run, layer: "isolate" };
    const path = await this.#path(id, reader);
    const copy = anyway || !this.#unfinished.has(path) ? await this.#cache.read(path) : undefined;
    if (copy === undefined) return undefined;
    const shared: Run = { ...JSON.parse(decodeURIComponent(copy.headers.get("x-run") ?? "")), body: copy.body };
    if (!this.#serves(shared, reader)) return undefined;
    this.#memory.set(shared);
    return { run: shared, layer: "data_centre" };
  }

  /** Takes note of a run that was read: keeps it, for its owner and for admins, if it is finished. */
  async keep(run: Run, reader: Viewer, trace: Trace): Promise<void> {
    if (this.#ttlMs === 0) return;
    const path = await this.#path(run.id, reader);
    if (!run.isFinal) {
      if (this.#unfinished.size >= MAX_UNFINISHED) this.#unfinished.clear();
      this.#unfinished.add(path);
      return;
    }
    this.#unfinished.delete(path);
    // A slow read must not put an older state over a newer one.
    const known = this.#memory.get(run.id);
    if (known !== undefined && isRecent(known.readMs, this.#ttlMs) && known.readMs > run.readMs) return;
    this.#memory.set(run);
    trace.finishLater(this.#share(run));
  }

  #serves(run: Run, reader: Viewer): boolean {
    return isRecent(run.readMs, this.#ttlMs) && canSee(run, reader);
  }

  async #share({ body, ...about }: Run): Promise<void> {
    // Encoded, because an owner's name may hold what a header may not.
    const headers = { "x-run": encodeURIComponent(JSON.stringify(about)) };
    for (const reader of [{ subject: about.ownerId, isAdmin: false }, ADMIN]) {
      await this.#cache.write(await this.#path(about.id, reader), body, headers, this.#ttlMs / 1_000);
    }
  }

  /** Entries outlive a deployment: those of another program, database or issuer must not be met. */
  async #path(id: string, reader: Viewer): Promise<string> {
    const { DATABASE_URL, NEON_FETCH_ENDPOINT, JWT_ISSUER, SUBJECT_CLAIM } = this.#settings;
    this.#namespace ??= await digestText(
      JSON.stringify([this.#version, DATABASE_URL, NEON_FETCH_ENDPOINT, JWT_ISSUER, SUBJECT_CLAIM]),
    );
    return `runs/${this.#namespace}/${id}/${nameReader(reader)}`;
  }
}

const ADMIN: Viewer = { subject: "", isAdmin: true };

/** URL-safe, and never the same for an admin and for a user. */
const nameReader = ({ subject, isAdmin }: Viewer) => (isAdmin ? "admins" : `of/${encodeURIComponent(subject)}`);
