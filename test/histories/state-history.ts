// What histories are checked against: the states of a run's row and of everything else that changes, with their times by the
// Worker's clock.
import { connectAsOwner } from "../support/database.ts";
import type { User } from "../support/issuer.ts";

/** A state of a run's row. */
export interface Version {
  /** Stands in `correlation_id`. */
  name: string;
  owner: string;
  status: "pending" | "running" | "completed" | "failed";
}

export const isFinished = ({ status }: Version): boolean => status === "completed" || status === "failed";

export const canSee = (version: Version, reader: User): boolean => reader === "admin" || version.owner === reader;

/** The row's next version, which is added to all of them; undefined if nothing is left of it. */
export function nextVersion(
  versions: Version[],
  row: Version,
  change: Version["status"] | "another owner" | "nothing",
): Version | undefined {
  if (change === "nothing") return undefined;
  const other = { owner: row.owner === "owner" ? "stranger" : "owner" };
  const version = { ...row, ...(change === "another owner" ? other : { status: change }) };
  versions.push({ ...version, name: `version ${versions.length}` });
  return versions.at(-1);
}

/** Writes the version into the run's row; undefined deletes it. */
export async function writeVersion(id: string, version: Version | undefined): Promise<void> {
  const sql = connectAsOwner();
  if (version === undefined) await sql.query("delete from crew_runs where id = $1", [id]);
  else {
    const { name, owner, status } = version;
    const text = "update crew_runs set correlation_id = $2, owner_id = $3, status = $4 where id = $1";
    await sql.query(text, [id, name, owner, status]);
  }
}

/** What the world was like and is. A clock that jumps back passes the same readings twice: what was so at either time counts. */
export class StateHistory<World> {
  readonly #periods: { fromMs: number; toMs: number; world: World }[] = [];
  now: World;

  constructor(world: World) {
    this.now = world;
    this.#begin(world);
  }

  /** Makes the world another one by `effect`. Until that has taken effect, either may be seen. */
  async change(world: World, effect: () => Promise<unknown>): Promise<void> {
    const old = this.#periods.at(-1);
    if (old !== undefined) old.toMs = Number.POSITIVE_INFINITY;
    this.#begin(world);
    await effect();
    if (old !== undefined) old.toMs = Date.now();
  }

  /** Moves the clock by `move`. */
  jump(move: () => void): void {
    this.#tick();
    move();
    this.#begin(this.now);
  }

  /** Whether something was so at any time between two readings of the clock, the second of which may be now. */
  was(fromMs: number, toMs: number, isSo: (world: World) => boolean): boolean {
    this.#tick();
    return this.#periods.some((period) => period.toMs >= fromMs && period.fromMs <= toMs && isSo(period.world));
  }

  #begin(world: World): void {
    this.#periods.push({ fromMs: Date.now(), toMs: Date.now(), world });
    this.now = world;
  }

  #tick(): void {
    const last = this.#periods.at(-1);
    if (last !== undefined) last.toMs = Date.now();
  }
}

/** Fails a history that breaks a promise. */
export function check(isSo: boolean, promise: string): void {
  if (!isSo) throw new Error(`a promise was broken: ${promise}`);
}
