// The Worker's entry: the only place that takes anything from the platform by name.
import { env, waitUntil } from "cloudflare:workers";
import { createApp } from "./app.ts";

export default createApp(env, waitUntil);
