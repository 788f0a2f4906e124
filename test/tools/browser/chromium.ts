// Chromium from Debian, without what it would ask of the network by itself, and a record of what a page did: messages on the
// console and requests, in every window.
import { existsSync } from "node:fs";
import { type Browser, type BrowserContext, type LaunchOptions, chromium } from "playwright-core";

const EXECUTABLE_PATH = "/usr/bin/chromium";
const START_TIMEOUT_MS = 30_000;

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export interface Record {
  /** Of any kind, a violation of the content security policy and an uncaught error among them. */
  messages: string[];
  origins: Set<string>;
}

export async function launchChromium(options: LaunchOptions = {}): Promise<Browser> {
  if (!existsSync(EXECUTABLE_PATH)) {
    throw new Error(`${EXECUTABLE_PATH} is missing; on Debian: apt-get install --no-install-recommends chromium`);
  }
  return chromium.launch({ executablePath: EXECUTABLE_PATH, args: FLAGS, timeout: START_TIMEOUT_MS, ...options });
}

export function watch(context: BrowserContext): Record {
  const record: Record = { messages: [], origins: new Set() };
  context.on("request", (request) => {
    if (/^https?:/.test(request.url())) record.origins.add(new URL(request.url()).origin);
  });
  context.on("console", (message) => record.messages.push(message.text()));
  context.on("weberror", (error) => record.messages.push(String(error.error())));
  return record;
}
