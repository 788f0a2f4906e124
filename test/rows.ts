// Rows of a test's own, written by the owner of the table: a fresh id each, so that tests do not meet.
import { type NeonQueryFunction, neon, neonConfig } from "@neondatabase/serverless";
import { inject } from "vitest";

/** The columns by name. JSON columns take JSON text, kept to the digit, or an object. */
export interface NewRun {
  id?: string;
  correlation_id?: string;
  owner_id?: string;
  status?: "pending" | "running" | "completed" | "failed";
  created_at?: string;
  crew_type?: string | null;
  crew_config?: string | object | null;
  task_input?: string | object | null;
  result?: string | null;
  error?: string | null;
  started_at?: string | null;
  completed_at?: string | null;
}

/** The driver as the owner of the table, who may write. The endpoint is the one that the Workers under test have. */
export function connectAsOwner(): NeonQueryFunction<false, false> {
  const { ownerDatabaseUrl, unreliableUpstream } = inject("stack");
  neonConfig.fetchEndpoint = `${unreliableUpstream}/sql`;
  return neon(ownerDatabaseUrl);
}

/** Inserts a run: pending and `owner`'s unless told otherwise, with nothing but what a pending run must have. Gives its id. */
export async function insertRun(run: NewRun = {}): Promise<string> {
  const id = run.id ?? crypto.randomUUID();
  const values = {
    correlation_id: `test-${id}`,
    owner_id: "owner",
    status: "pending",
    ...run,
    id,
  };
  const columns = Object.keys(values);
  const placeholders = columns.map((_, index) => `$${index + 1}`);
  await connectAsOwner().query(
    `insert into crew_runs (${columns.join(", ")}) values (${placeholders.join(", ")})`,
    Object.values(values),
  );
  return id;
}
