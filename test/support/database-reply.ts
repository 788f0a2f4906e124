// The database's reply for one row, as Neon's driver reads it: each value is Postgres's text, a time is one in JSON.

/** The id of the row. */
export const ROW_ID = "0189dd25-1111-4111-8111-111111111111";

const ROW = {
  id: ROW_ID,
  correlation_id: "c",
  owner_id: "owner",
  status: "pending",
  created_at: '"2026-03-01T10:00:00"',
  crew_type: null,
  crew_config: null,
  task_input: null,
  result: null,
  error: null,
  started_at: null,
  completed_at: null,
};

/** `change` is what the row has in place of a pending run's values. */
export function makeReply(change: object): string {
  const row = { ...ROW, ...change };
  const fields = Object.keys(row).map((name) => ({ name, dataTypeID: 25 }));
  return JSON.stringify({ fields, rows: [Object.values(row)], command: "SELECT", rowCount: 1 });
}
