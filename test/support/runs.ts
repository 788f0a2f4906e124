// Rows of the table, by whatever connection: Neon's driver in workerd, PGlite in Node. A fresh id each, so that tests do not meet.

/** The columns by name. JSON columns take JSON text, whose digits are preserved, or an object. */
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

const JSON_COLUMNS = new Set(["crew_config", "task_input"]);

/** A connection of a role that may write. */
export interface Connection {
  query(text: string, values: unknown[]): PromiseLike<unknown>;
}

/** Inserts a run: pending and `owner`'s by default, with only what a pending run must have. Returns its id. */
export async function insertRunBy(connection: Connection, run: NewRun = {}): Promise<string> {
  const id = run.id ?? crypto.randomUUID();
  const values = { correlation_id: `test-${id}`, owner_id: "owner", status: "pending", ...run, id };
  const columns = Object.keys(values);
  const placeholders = columns.map((name, index) => `$${index + 1}${JSON_COLUMNS.has(name) ? "::text::jsonb" : ""}`);
  const texts = Object.values(values).map((value) => (value instanceof Object ? JSON.stringify(value) : value));
  await connection.query(`insert into crew_runs (${columns.join(", ")}) values (${placeholders.join(", ")})`, texts);
  return id;
}

/** Sets columns of a run to SQL expressions. */
export async function updateRunBy(connection: Connection, id: string, assignments: string): Promise<void> {
  await connection.query(`update crew_runs set ${assignments} where id = $1`, [id]);
}

export const FINISH = "status = 'completed', result = 'done', completed_at = now()";
