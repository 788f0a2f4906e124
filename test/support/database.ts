// The local stack's database, written to by the owner of the table.
import { type NeonQueryFunction, neon, neonConfig } from "@neondatabase/serverless";
import { inject } from "vitest";
import { type NewRun, insertRunBy, updateRunBy } from "./runs.ts";

/** The driver as the owner of the table, who may write. */
export function connectAsOwner(): NeonQueryFunction<false, false> {
  const { ownerDatabaseUrl, variables } = inject("localStack");
  neonConfig.fetchEndpoint = variables.NEON_FETCH_ENDPOINT;
  return neon(ownerDatabaseUrl);
}

/** Returns the new run's id. */
export const insertRun = (run?: NewRun): Promise<string> => insertRunBy(connectAsOwner(), run);

/** `assignments` are SQL, for example `status = 'running'`. */
export const updateRun = (id: string, assignments: string): Promise<void> =>
  updateRunBy(connectAsOwner(), id, assignments);
