// Runs in every build of wrangler's ([build] in wrangler.toml). It stops a plain `npx wrangler deploy`, which takes wrangler.toml,
// if that file could only deploy a Worker that responds with "misconfigured": in Cloudflare's Git-connected builds, and wherever
// the settings are in wrangler.production.toml. A dry run of the template elsewhere passes.
import { join } from "node:path";
import { formatFinding } from "./checklist.ts";
import { findObstacles } from "./deploy.ts";
import { findConfigFile } from "./doctor/config.ts";
import { CHECKED_VARIABLE, ROOT_DIRECTORY } from "./wrangler.ts";

const { WORKERS_CI, WRANGLER_COMMAND = "", [CHECKED_VARIABLE]: isChecked } = process.env;
const configFile = join(ROOT_DIRECTORY, "wrangler.toml");
const isUpload = WRANGLER_COMMAND === "deploy" || WRANGLER_COMMAND === "versions upload";
const hasOwnFile = findConfigFile() !== configFile;

const OWN =
  "but your settings are in wrangler.production.toml. `npm run deploy` takes that, also in a Git-connected build.";

if (isUpload && (WORKERS_CI || hasOwnFile) && !isChecked) {
  const obstacles = await findObstacles({ configFile, variables: {} });
  if (obstacles.length > 0) {
    if (!hasOwnFile) for (const finding of obstacles) console.error(formatFinding(finding));
    console.error(`Nothing was uploaded. A plain wrangler takes wrangler.toml${hasOwnFile ? `, ${OWN}` : "."}`);
    process.exitCode = 1;
  }
}
