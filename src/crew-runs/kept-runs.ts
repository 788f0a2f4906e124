// Finished runs, kept once read: in the isolate's memory within a byte budget, and in the data centre's cache where there is
// one. A kept run is handed to its owner and to admins only; for anybody else it is not there, in answer and in work.
// Unfinished runs are never kept.
import { readShared, writeShared } from "../data-centre-cache.ts";
import type { Exchange } from "../exchange.ts";
import type { Settings } from "../settings.ts";
import { REPRESENTATION, type Run } from "./record.ts";
import type { Viewer } from "./store.ts";

/** A finished run, its body as bytes. */
export interface KeptRun extends Run {
  body: Uint8Array;
}

/** Of the isolate's 128 MB; 20 more may be remembered tokens, and a reply under way may take 64. */
const MAX_BYTES = 33_554_432;
/** Map entry, strings and headers of one run, roughly: so that many small runs count too. */
const ENTRY_OVERHEAD_BYTES = 2_048;
/** Paths at which the data centre had nothing: who polls a run need not ask there each time. */
const MAX_ABSENT = 4_096;

export class KeptRuns {
  readonly #ttlMs: number;
  readonly #settings: Settings;
  /** Least recently used first. */
  readonly #runs = new Map<string, KeptRun>();
  readonly #absent = new Set<string>();
  #bytes = 0;
  #namespace: string | undefined;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#ttlMs = settings.FINISHED_RUN_TTL_SECONDS * 1_000;
  }

  /** The kept run, if the viewer may see it. */
  find(id: string, viewer: Viewer, nowMs: number): KeptRun | undefined {
    const run = this.#runs.get(id);
    if (run === undefined || !this.#serves(run, viewer, nowMs)) return undefined;
    this.#runs.delete(id);
    this.#runs.set(id, run);
    return run;
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
    this.#remember(run);
    return run;
  }

  /** Keeps a finished run, for its owner and for admins. */
  keep(run: Run, exchange: Exchange): void {
    if (this.#ttlMs === 0 || !run.isFinal) return;
    const kept = { ...run, body: new TextEncoder().encode(String(run.body)) };
    this.#remember(kept);
    exchange.finishLater(this.#share(kept));
  }

  #serves(run: KeptRun, viewer: Viewer, nowMs: number): boolean {
    return nowMs - run.readMs < this.#ttlMs && (viewer.isAdmin || run.ownerId === viewer.subject);
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

  #remember(run: KeptRun): void {
    const old = this.#runs.get(run.id);
    if (old !== undefined) this.#forget(old);
    if (sizeOf(run) > MAX_BYTES) return;
    this.#runs.set(run.id, run);
    this.#bytes += sizeOf(run);
    for (const oldest of this.#runs.values()) {
      if (this.#bytes <= MAX_BYTES) break;
      this.#forget(oldest);
    }
  }

  #forget(run: KeptRun): void {
    if (this.#runs.delete(run.id)) this.#bytes -= sizeOf(run);
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

const sizeOf = (run: KeptRun) => run.body.byteLength + ENTRY_OVERHEAD_BYTES;

async function digest(text: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))).toHex();
}
