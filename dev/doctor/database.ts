// The database as the Worker will meet it: through Neon's driver and HTTP protocol, as the Worker's own role.
// Reads the catalogues only. No finding holds the connection string.
import { NeonDbError, neon, neonConfig } from "@neondatabase/serverless";
import type { Settings } from "../../src/settings.ts";
import { type Finding, bad, hint, ok, skipped } from "../checklist.ts";
import { describeFetchError } from "./issuer.ts";
import { checkRole } from "./role.ts";
import { type Ask, checkTable } from "./table.ts";

/** A sleeping compute takes up to a few seconds to wake; anything longer is a fault. */
const TIMEOUT_MS = 20_000;
const MIN_VERSION = 15;

const ownEndpoint = neonConfig.fetchEndpoint;

/** Connects, then checks placement, table and role. */
export async function checkDatabase(settings: Settings, placementRegion: string | undefined): Promise<Finding[]> {
  neonConfig.fetchEndpoint = settings.NEON_FETCH_ENDPOINT ?? ownEndpoint;
  const sql = neon(settings.DATABASE_URL);
  const ask: Ask = (text) => sql.query(text, [], { fetchOptions: { signal: AbortSignal.timeout(TIMEOUT_MS) } });
  try {
    return [
      await checkServer(ask),
      ...checkPlacement(settings, placementRegion),
      ...(await checkTable(ask)),
      ...(await checkRole(ask)),
    ];
  } catch (error) {
    return [explainRefusal(error, settings), skipped("not checked: table and role")];
  }
}

async function checkServer(ask: Ask): Promise<Finding> {
  const startedMs = Date.now();
  const [row] = await ask(
    "select current_user::text as role, current_setting('server_version_num')::int / 10000 as version",
  );
  const text = `PostgreSQL ${String(row?.["version"])} answers as ${String(row?.["role"])} after ${Date.now() - startedMs} ms`;
  if (Number(row?.["version"]) >= MIN_VERSION) return ok(text);
  return bad(text, `schema.sql is for ${MIN_VERSION} and newer: upgrade, or move to a new Neon project.`);
}

function explainRefusal(error: unknown, { DATABASE_URL, NEON_FETCH_ENDPOINT }: Settings): Finding {
  const { sourceError } = error instanceof NeonDbError ? error : {};
  const { password } = new URL(DATABASE_URL);
  // A driver's or a server's message may echo what it was given.
  const reason = describeFetchError(sourceError ?? error)
    .replaceAll(DATABASE_URL, "DATABASE_URL")
    .replaceAll(password, "…")
    .replaceAll(decodeURIComponent(password), "…")
    .slice(0, 300);
  const where = NEON_FETCH_ENDPOINT === undefined ? "" : " at NEON_FETCH_ENDPOINT";
  const remedy = /password|authenticat/i.test(reason)
    ? `DATABASE_URL must hold the role's own password, percent-encoded. A new one, as the owner of the database:
alter role crew_runs_reader login password '…'`
    : "Are host and database in DATABASE_URL (or NEON_FETCH_ENDPOINT) right, and may the compute start?";
  return bad(`the database does not answer${where}: ${reason}`, remedy);
}

/** Neon's host names end in `.REGION.aws.neon.tech`. */
function checkPlacement({ DATABASE_URL }: Settings, placementRegion: string | undefined): Finding[] {
  const [, region, cloud] = /\.([a-z0-9-]+)\.(aws|azure)\.neon\.tech$/.exec(new URL(DATABASE_URL).hostname) ?? [];
  if (region === undefined || cloud === undefined) return [];
  const wanted = `${cloud}:${region}`;
  if (placementRegion === wanted) return [ok(`the Worker is placed near the database: ${wanted}`)];
  return [
    hint(`the database is in ${wanted}`, `In wrangler.toml under [placement], in place of mode: region = "${wanted}"`),
  ];
}
