// The runs of a soak and their history. One writer inserts, starts and finishes them and deletes some; `check` compares the
// responses with the history.
import type { Database } from "../../dev/database.ts";

export const USERS = ["owner", "stranger", "admin"] as const;
export type User = (typeof USERS)[number];

const POOL_SIZE = 150;

export interface Question {
  user: User;
  /** Undefined: an id that no run has. */
  run: Run | undefined;
  isForged: boolean;
  /** The run's, when the request began. */
  revision: number;
  heldTag: string | undefined;
}

export interface Received {
  status: number;
  headers: Headers;
  body: string;
  startMs: number;
  endMs: number;
}

/** What is wrong with a response other than a 503, if anything is. */
export function check(received: Received, question: Question, ttlSeconds: number): string | undefined {
  const { user, run, isForged, revision, heldTag } = question;
  if (isForged) return received.status === 401 ? undefined : "a forged token got in";
  const maySee = run !== undefined && (user === "admin" || user === run.owner);
  if (received.status === 404)
    return maySee && run.deletedMs > received.endMs ? "a 404 for a run that is there" : undefined;
  if (!maySee) return "a response for the wrong user";
  if (received.startMs > run.deletedMs + ttlSeconds * 1_000 + 500) return "a run that was deleted long ago";
  const etag = received.headers.get("etag") ?? "";
  if (received.status === 200) return run.compare(received.body, etag, revision);
  if (received.status !== 304) return "an unexpected status";
  if (heldTag !== etag) return "a 304 for another tag";
  return (run.revisions.get(etag) ?? -1) >= revision ? undefined : "an outdated 304";
}

class Run {
  readonly id = crypto.randomUUID();
  /** Grows with each change; the last that is certainly in the database. */
  revision = 0;
  /** The one that may be in the database already. */
  nextRevision = 0;
  status: "pending" | "running" | "completed" | "failed" = "pending";
  /** When the deletion may have begun to show. */
  deletedMs = Number.POSITIVE_INFINITY;
  lastEtag: string | undefined;
  /** Of each tag that was seen. */
  readonly revisions = new Map<string, number>();
  readonly owner: User;

  constructor(owner: User) {
    this.owner = owner;
  }

  /** What is wrong with a response whose request began when the database had the revision `before`. */
  compare(body: string, etag: string, before: number): string | undefined {
    const { id, owner_id, correlation_id, status, result } = JSON.parse(body) as Record<string, string | null>;
    if (id !== this.id) return "another run";
    if (owner_id !== this.owner) return "another owner's run";
    const revision = Number(correlation_id);
    if (!(revision >= before)) return `an outdated response (${revision} after ${before})`;
    if (revision > this.nextRevision) return "a response from the future";
    if (result !== makeResult(this.id, status ?? "")) return "another run's result";
    const known = this.revisions.get(etag);
    if (known !== undefined && known !== revision) return "one tag for two representations";
    this.revisions.set(etag, revision);
    this.lastEtag = etag;
    return undefined;
  }
}

/** Of some length, so that the memory cache fills. */
function makeResult(id: string, status: string): string | null {
  return status === "completed" || status === "failed" ? `${id} ${status} `.repeat(2_000) : null;
}

/** The runs at hand, and the one writer that `advance`s them. */
export function openRuns(database: Database, ttlSeconds: number) {
  let pool: Run[] = [];
  const pick = () => pool[Math.floor(Math.random() * pool.length)];

  async function insert(): Promise<void> {
    const run = new Run(Math.random() < 0.5 ? "owner" : "stranger");
    const text = "insert into crew_runs (id, correlation_id, owner_id, status) values ($1, '0', $2, 'pending')";
    await database.query(text, [run.id, run.owner]);
    pool.push(run);
  }

  async function update(run: Run, status: Run["status"]): Promise<void> {
    run.nextRevision += 1;
    const text = "update crew_runs set correlation_id = $2, status = $3, result = $4 where id = $1";
    await database.query(text, [run.id, String(run.nextRevision), status, makeResult(run.id, status)]);
    run.status = status;
    run.revision = run.nextRevision;
  }

  async function remove(run: Run): Promise<void> {
    run.deletedMs = Date.now();
    await database.query("delete from crew_runs where id = $1", [run.id]);
  }

  async function replace(run: Run): Promise<void> {
    pool = pool.filter((other) => other !== run);
    await insert();
  }

  return {
    pick,
    async fill(): Promise<void> {
      while (pool.length < POOL_SIZE) await insert();
    },
    /** One step in the life of one run. */
    async advance(): Promise<void> {
      const run = pick();
      if (run === undefined) return;
      const dice = Math.random();
      if (run.deletedMs < Number.POSITIVE_INFINITY) {
        // Long enough for a reader to notice if it is still served.
        if (Date.now() > run.deletedMs + ttlSeconds * 1_000 + 5_000) await replace(run);
      } else if (run.status === "completed" || run.status === "failed") {
        if (dice < 0.05) await remove(run);
        else if (dice < 0.25) await replace(run);
      } else if (dice < 0.3) await update(run, "running");
      else if (dice < 0.5) await update(run, dice < 0.45 ? "completed" : "failed");
    },
  };
}
