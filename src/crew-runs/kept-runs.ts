// Which kept runs a viewer may have. A finished run, once read, is served as it is, from the isolate's memory or the data
// centre's cache where there is one. An unfinished one is remembered too, but only so that it need not leave the database
// again: it is never served before its version is confirmed. For anybody but the owner and admins neither is there, in answer
// and in work.
import { readShared, writeShared } from "../data-centre-cache.ts";
import type { Exchange } from "../exchange.ts";
import type { Settings } from "../settings.ts";
import { REPRESENTATION, type Run } from "./record.ts";
import { type KeptRun, RunMemory } from "./run-memory.ts";
import type { Viewer } from "./store.ts";

/** Of the isolate's 128 MB; 20 more may be remembered tokens, and a reply under way may take 64. */
const MAX_FINISHED_BYTES = 33_554_432;
const MAX_UNFINISHED_BYTES = 8_388_608;
/** Paths at which the data centre had nothing: who polls a run need not ask there each time. */
const MAX_ABSENT = 4_096;

export class KeptRuns {
  readonly #ttlMs: number;
  readonly #settings: Settings;
  readonly #finished = new RunMemory(MAX_FINISHED_BYTES);
  readonly #unfinished = new RunMemory(MAX_UNFINISHED_BYTES);
  readonly #absent = new Set<string>();
  #namespace: string | undefined;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#ttlMs = settings.FINISHED_RUN_TTL_SECONDS * 1_000;
  }

  /** The finished run, if the viewer may see it. */
  find(id: string, viewer: Viewer, nowMs: number): KeptRun | undefined {
    const run = this.#finished.get(id);
    return run !== undefined && this.#serves(run, viewer, nowMs) ? run : undefined;
  }

  /** The unfinished run as it was last read, if the viewer may see it. */
  findUnfinished(id: string, viewer: Viewer): KeptRun | undefined {
    const run = this.#unfinished.get(id);
    return run !== undefined && canSee(run, viewer) ? run : undefined;
  }

  /**
   * The run as the data centre has it. The viewer is part of the key: a look-up for a stranger meets what a look-up for a
   * missing run meets. `again`: ask even where there was nothing the last time.
   */
  async findShared(id: string, viewer: Viewer, again: boolean): Promise<KeptRun | undefined> {
    const audience = viewer.isAdmin ? undefined : viewer.subject;
    if (this.#ttlMs === 0) return undefined;
    const path = await this.#path(id, audience);
    if (!again && this.#absent.has(path)) return undefined;
    const kept = await readShared(path);
    if (kept === undefined) {
      if (this.#absent.size >= MAX_ABSENT) this.#absent.clear();
      this.#absent.add(path);
      return undefined;
    }
    const run: KeptRun = {
      id,
      ownerId: decodeURIComponent(kept.headers.get("x-owner-id") ?? ""),
      isFinal: true,
      createdMs: 0,
      body: kept.body,
      etag: kept.headers.get("etag") ?? "",
      readMs: Number(kept.headers.get("x-read-ms")),
    };
    if (!this.#serves(run, viewer, Date.now())) return undefined;
    this.#finished.set(run);
    return run;
  }

  /** Keeps a run that was read, for its owner and for admins. */
  keep(run: Run, exchange: Exchange): void {
    const kept = { ...run, body: new TextEncoder().encode(String(run.body)) };
    if (!run.isFinal) {
      this.#unfinished.set(kept);
      return;
    }
    this.#unfinished.delete(run.id);
    if (this.#ttlMs === 0) return;
    // A slow read must not put an older state over a newer one.
    if ((this.#finished.get(run.id)?.readMs ?? 0) > run.readMs) return;
    this.#finished.set(kept);
    exchange.finishLater(this.#share(kept));
  }

  #serves(run: KeptRun, viewer: Viewer, nowMs: number): boolean {
    return nowMs - run.readMs < this.#ttlMs && canSee(run, viewer);
  }

  async #share(run: KeptRun): Promise<void> {
    const headers = {
      etag: run.etag,
      "x-read-ms": String(run.readMs),
      "x-owner-id": encodeURIComponent(run.ownerId),
    };
    for (const audience of [run.ownerId, undefined]) {
      await writeShared(await this.#path(run.id, audience), run.body, headers, this.#ttlMs / 1_000);
    }
  }

  /** Entries outlive a deployment: those of another program, database or issuer must not be met. */
  async #path(id: string, audience: string | undefined): Promise<string> {
    const { DATABASE_URL, NEON_FETCH_ENDPOINT, JWT_ISSUER, SUBJECT_CLAIM } = this.#settings;
    this.#namespace ??= await digest(
      JSON.stringify([REPRESENTATION, DATABASE_URL, NEON_FETCH_ENDPOINT, JWT_ISSUER, SUBJECT_CLAIM]),
    );
    const reader = audience === undefined ? "admins" : `of/${encodeURIComponent(audience)}`;
    return `runs/${this.#namespace}/${id}/${reader}`;
  }
}

const canSee = (run: KeptRun, viewer: Viewer) => viewer.isAdmin || run.ownerId === viewer.subject;

async function digest(text: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))).toHex();
}
