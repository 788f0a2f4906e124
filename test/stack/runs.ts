// The runs of tests outside of workerd, which write to the local stack's database themselves.
import type { Database } from "../../dev/database.ts";

/** Inserts a running run of `owner`. Gives its id. */
export async function insertRun(database: Database): Promise<string> {
  const { rows } = await database.query<{ id: string }>(
    `insert into crew_runs (id, correlation_id, owner_id, status)
     values (gen_random_uuid(), '', 'owner', 'running') returning id`,
  );
  return String(rows[0]?.id);
}

export async function finishRun(database: Database, id: string): Promise<void> {
  await database.query("update crew_runs set status = 'completed', completed_at = now() where id = $1", [id]);
}
