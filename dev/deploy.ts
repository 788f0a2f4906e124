// `npm run deploy`: builds, checks the budget, then hands all arguments to `wrangler deploy`.
// Guarantees that nothing is uploaded over budget, and that the environment is production unless an argument says otherwise.
import { checkBudget } from "./build.ts";
import { runWrangler } from "./wrangler.ts";

/** @returns the exit code */
export async function deploy(args: readonly string[], budget?: number): Promise<number> {
  if (!(await checkBudget(budget))) return 1;
  console.log();
  const namesEnvironment = args.some((arg) => /^(--env|-e)(=|$)/.test(arg));
  const environment = namesEnvironment ? [] : ["--env", "production"];
  const { exitCode } = await runWrangler(["deploy", ...environment, ...args], { capture: false });
  return exitCode;
}

if (import.meta.main) process.exitCode = await deploy(process.argv.slice(2));
