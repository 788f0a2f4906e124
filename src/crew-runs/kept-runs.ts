// Finished runs, kept once read: in the isolate's memory within a byte budget, and in the data centre's cache where there is
// one. A kept run is handed to its owner and to admins only; for anybody else it is not there, in answer and in work.
// Unfinished runs are never kept.
import { readShared, writeShared } from "../data-centre-cache.ts";
import type { Exchange } from "../exchange.ts";
import type { Settings } from "../settings.ts";
import type { Run } from "./record.ts";
import type { Viewer } from "./store.ts";

/** A run as it is sent. */
export interface Representation {
  id: string;
  ownerId: string;
  isFinal: boolean;
  createdMs: number;
  body: Uint8Array;
  /** With its quotes. */
  etag: string;
  /** When the database said so, in milliseconds since the epoch: a copy's age counts from here, wherever it lies. */
  readMs: number;
}

/** Of the isolate's 128 MB; 20 more may be remembered tokens, and a reply under way may take 64. */
const MAX_BYTES = 33_554_432;
/** Map entry, strings and headers of one run, roughly: so that many small runs count too. */
const ENTRY_OVERHEAD_BYTES = 512;
/** Runs known to be unfinished: the data centre need not be asked for them. */
const MAX_UNFINISHED = 4_096;

/** The tag is that of the bytes (RFC 9110 §8.8.3), so that it survives a token refresh and a deployment. */
export async function represent(run: Run, readMs: number): Promise<Representation> {
  const body = new TextEncoder().encode(run.json);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
  const etag = `"${digest.subarray(0, 16).toBase64({ alphabet: "base64url", omitPadding: true })}"`;
  const { id, ownerId, isFinal, createdMs } = run;
  return { id, ownerId, isFinal, createdMs, body, etag, readMs };
}

export class KeptRuns {
  readonly #ttlMs: number;
  readonly #settings: Settings;
  /** Least recently used first. */
  readonly #runs = new Map<string, Representation>();
  readonly #unfinished = new Set<string>();
  #bytes = 0;
  #namespace: Promise<string> | undefined;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#ttlMs = settings.FINISHED_RUN_TTL_SECONDS * 1_000;
  }

  /** The kept run, if the viewer may see it. */
  find(id: string, viewer: Viewer, nowMs: number): Representation | undefined {
    const run = this.#runs.get(id);
    if (run === undefined) return undefined;
    if (nowMs - run.readMs >= this.#ttlMs) {
      this.#forget(run);
      return undefined;
    }
    if (!viewer.isAdmin && run.ownerId !== viewer.subject) return undefined;
    this.#runs.delete(id);
    this.#runs.set(id, run);
    return run;
  }

  /**
   * The run as the data centre has it. The viewer is part of the key: a look-up for a stranger meets what a look-up for a
   * missing run meets.
   */
  async findShared(id: string, viewer: Viewer): Promise<Representation | undefined> {
    const audience = viewer.isAdmin ? undefined : viewer.subject;
    if (this.#ttlMs === 0 || this.#unfinished.has(unfinishedKey(id, audience))) return undefined;
    const kept = await readShared(await this.#path(id, audience));
    if (kept === undefined) return undefined;
    const readMs = Number(kept.headers.get("x-read-ms"));
    if (Date.now() - readMs >= this.#ttlMs) return undefined;
    const run: Representation = {
      id,
      ownerId: decodeURIComponent(kept.headers.get("x-owner-id") ?? ""),
      isFinal: true,
      createdMs: 0,
      body: await kept.bytes(),
      etag: kept.headers.get("etag") ?? "",
      readMs,
    };
    this.#remember(run);
    return run;
  }

  /** Keeps a finished run for its owner and for admins; notes an unfinished one. */
  keep(run: Representation, viewer: Viewer, exchange: Exchange): void {
    if (this.#ttlMs === 0) return;
    const noted = unfinishedKey(run.id, viewer.isAdmin ? undefined : viewer.subject);
    if (!run.isFinal) {
      if (this.#unfinished.size >= MAX_UNFINISHED) this.#unfinished.clear();
      this.#unfinished.add(noted);
      return;
    }
    this.#unfinished.delete(noted);
    this.#remember(run);
    exchange.finishLater(this.#share(run));
  }

  async #share(run: Representation): Promise<void> {
    const headers = {
      etag: run.etag,
      "x-read-ms": String(run.readMs),
      "x-owner-id": encodeURIComponent(run.ownerId),
    };
    for (const audience of [run.ownerId, undefined]) {
      await writeShared(await this.#path(run.id, audience), run.body, headers, this.#ttlMs / 1_000);
    }
  }

  #remember(run: Representation): void {
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

  #forget(run: Representation): void {
    if (this.#runs.delete(run.id)) this.#bytes -= sizeOf(run);
  }

  /** Entries outlive a deployment: those of another database or issuer, where a subject is somebody else, must not be met. */
  async #path(id: string, audience: string | undefined): Promise<string> {
    const { DATABASE_URL, NEON_FETCH_ENDPOINT, JWT_ISSUER, SUBJECT_CLAIM } = this.#settings;
    this.#namespace ??= digest(
      JSON.stringify([DATABASE_URL, NEON_FETCH_ENDPOINT, JWT_ISSUER, SUBJECT_CLAIM]),
    );
    const reader = audience === undefined ? "admins" : `of/${encodeURIComponent(audience)}`;
    return `runs/${await this.#namespace}/${id}/${reader}`;
  }
}

const sizeOf = (run: Representation) => run.body.byteLength + ENTRY_OVERHEAD_BYTES;
const unfinishedKey = (id: string, audience: string | undefined) =>
  audience === undefined ? id : `${id} ${audience}`;

async function digest(text: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))).toHex();
}
