// Puts the seeded runs into the database.
import type { Database } from "./database.ts";
import { EXAMPLE_ROWS, SEEDS, type SeededRun } from "./seeded-runs.ts";

/** Inserts the missing seeded runs; a row that is there, however it has changed, stays as it is. */
export async function seedRuns(database: Database): Promise<void> {
  const columns = Object.keys(EXAMPLE_ROWS.completed) as (keyof SeededRun)[];
  const isJson = (name: string) => name === "crew_config" || name === "task_input";
  const values = columns.map((name, index) => `$${index + 1}${isJson(name) ? "::text::jsonb" : ""}`);
  const statement = `insert into public.crew_runs (${columns.join()}) values (${values.join()}) on conflict (id) do nothing`;
  for (const [row] of SEEDS) {
    await database.query(
      statement,
      columns.map((name) => row[name]),
    );
  }
}
