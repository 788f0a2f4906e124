// Counts what the Worker under test sends to each upstream.

const counts = new Map<string, number>();
const send = globalThis.fetch;

/** Counts from now on. */
export function countAllFetches(): void {
  globalThis.fetch = async (input, init) => {
    const name = nameUpstream(String(input), new Headers(init?.headers));
    counts.set(name, countFetches(name) + 1);
    return send(input, init);
  };
}

/** The fault proxy's address. All databases have one address, and the connection string names the proxy: test-app.ts. */
function nameUpstream(url: string, headers: Headers): string {
  const id = /@proxy-(\d+)\./.exec(headers.get("neon-connection-string") ?? "")?.[1];
  return id === undefined ? url : url.replace(/sql$/, `proxy/${id}`);
}

/** How many requests have been sent to this address in this isolate. */
export const countFetches = (url: string): number => counts.get(url) ?? 0;
