// Set up for each test file in workerd. Files share an isolate and its modules, but this one is evaluated for each file.
import { checkConsole } from "./console.ts";
import { countAllFetches } from "./counted-fetches.ts";

checkConsole();
countAllFetches();
