// Part of `npm run check`: whether the document in dist/documents/ is clean by Redocly's recommended rules.
// Guarantees exit code 1 for a warning as much as for an error. Leaves the making of the document to docs/build.ts.
import { fileURLToPath } from "node:url";
import { createConfig, lint } from "@redocly/openapi-core";

const document = fileURLToPath(new URL("../dist/documents/openapi.json", import.meta.url));

const problems = await lint({ ref: document, config: await createConfig({ extends: ["recommended"] }) });
for (const { severity, ruleId, message, location } of problems) {
  console.error(`${severity} ${ruleId} ${location[0]?.pointer ?? ""}: ${message}`);
}
if (problems.length > 0) process.exitCode = 1;
