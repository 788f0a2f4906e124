// The one way to move the clock that the Worker reads. It goes on from where it is set, or stands still; timers keep real time.
// Or both are simulated: time passes only when nothing but timers is waited for, and then at once.
import { type MockInstance, afterEach, vi } from "vitest";

export interface Clock {
  /** Moves the clock forwards, or backwards if negative. */
  advance(seconds: number): void;
  /** Sets the clock, which stands still from then on. */
  stopAt(ms: number): void;
  /**
   * From now on `Date.now`, `scheduler.wait` and `AbortSignal.timeout` are simulated: requests and the database take no time, and
   * as soon as none of them is under way, the clock jumps to the next timers. So a wait of a minute takes milliseconds, and ends to
   * the millisecond.
   */
  simulate(): void;
}

/** How an upstream hangs, in simulated time. A body declares no length. */
export type Hang = "silent" | "stuck in the body" | "trickling";

/** Call it once per file. After each test the clock is right again. */
export function controlClock(): Clock {
  const realNow = Date.now;
  let read = realNow;
  const mocks: MockInstance[] = [];
  const setTo = (now: () => number) => {
    read = now;
    mocks.push(vi.spyOn(Date, "now").mockImplementation(() => read()));
  };
  afterEach(() => {
    read = realNow;
    for (const mock of mocks.splice(0)) mock.mockRestore();
  });
  return {
    advance(seconds) {
      const before = read;
      setTo(() => before() + seconds * 1_000);
    },
    stopAt: (ms) => setTo(() => ms),
    simulate() {
      const before = read();
      let elapsedMs = 0;
      setTo(() => before + elapsedMs);
      mocks.push(...simulateTimers((ms) => (elapsedMs = ms)));
    },
  };
}

/** The milliseconds that the work takes, by the Worker's clock. */
export async function elapsed(work: Promise<unknown>): Promise<number> {
  const startedMs = Date.now();
  await work;
  return Date.now() - startedMs;
}

interface Timer {
  atMs: number;
  fire(): void;
}

/** So many turns of the event loop without I/O, and whatever the I/O before led to has been done. */
const QUIET_TURNS = 5;

/** `tell` hears the time since the start, whenever it passes. A timer counts that time, whatever the clock says. */
function simulateTimers(tell: (elapsedMs: number) => void): MockInstance[] {
  const timers = new Set<Timer>();
  let elapsedMs = 0;
  let underWay = 0;
  let isRunning = false;

  async function run(): Promise<void> {
    if (isRunning) return;
    isRunning = true;
    while (timers.size > 0) {
      for (let turns = 0; turns < QUIET_TURNS; turns = underWay > 0 ? 0 : turns + 1) {
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
      tell((elapsedMs = Math.min(...[...timers].map(({ atMs }) => atMs))));
      for (const timer of timers) {
        if (timer.atMs <= elapsedMs && timers.delete(timer)) timer.fire();
      }
    }
    isRunning = false;
  }

  const wait = (milliseconds: number, { signal }: { signal?: AbortSignal } = {}) =>
    new Promise<void>((resolve, reject) => {
      signal?.throwIfAborted();
      const timer = { atMs: elapsedMs + milliseconds, fire: resolve };
      timers.add(timer);
      signal?.addEventListener("abort", () => {
        timers.delete(timer);
        reject(signal.reason as Error);
      });
      void run();
    });

  /** Notes that a call is under way until its promise is settled. */
  const count = <Args extends unknown[], Result>(call: (...args: Args) => Promise<Result>) =>
    async function (this: unknown, ...args: Args): Promise<Result> {
      underWay += 1;
      try {
        return await call.apply(this, args);
      } finally {
        underWay -= 1;
      }
    };
  const realFetch = fetch;
  const fetchWhole = async (...args: Parameters<typeof fetch>) => {
    const response = await realFetch(...args);
    const body = await response.arrayBuffer();
    return new Response(body.byteLength === 0 ? null : body, response);
  };
  const timeOut = (milliseconds: number): AbortSignal => {
    const controller = new AbortController();
    const error = new DOMException("The operation was aborted due to timeout", "TimeoutError");
    void wait(milliseconds).then(() => controller.abort(error));
    return controller.signal;
  };
  const mocks: MockInstance[] = [
    vi.spyOn(scheduler, "wait").mockImplementation(wait as typeof scheduler.wait),
    vi.spyOn(AbortSignal, "timeout").mockImplementation(timeOut),
    vi.spyOn(globalThis, "fetch").mockImplementation(count(fetchWhole)),
  ];
  const others = { match: Cache.prototype, put: Cache.prototype, verify: crypto.subtle, digest: crypto.subtle };
  // Cast, because each owner has another type, and only that the method is asynchronous matters here.
  for (const [name, owner] of Object.entries(others) as unknown as [string, Record<string, () => Promise<unknown>>][]) {
    const call = owner[name] ?? (async () => {});
    mocks.push(vi.spyOn(owner, name).mockImplementation(count(call)));
  }
  return mocks;
}

/**
 * While the clock is simulated: `respond` answers requests to URLs that contain `part`; `send` sends the request. Returns a function
 * that ends this for new requests.
 */
export function answerFetches(
  part: string,
  respond: (send: () => Promise<Response>, signal: AbortSignal | undefined) => Promise<Response>,
): () => void {
  const simulated = vi.mocked(fetch).getMockImplementation();
  if (simulated === undefined) throw new Error("time isn't simulated");
  let isAnswering = true;
  vi.mocked(fetch).mockImplementation((input, init) => {
    const send = () => simulated(input, init);
    return isAnswering && String(input).includes(part) ? respond(send, init?.signal ?? undefined) : send();
  });
  return () => (isAnswering = false);
}

/** As `answerFetches`: the requests hang, until their signal fires. */
export const hangFetches = (part: string, hang: Hang): (() => void) =>
  answerFetches(part, (_, signal) => fetchNever(hang, signal));

async function fetchNever(hang: Hang, signal: AbortSignal | undefined): Promise<Response> {
  const aborted = new Promise<never>((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
  aborted.catch(() => {});
  if (hang === "silent") return aborted;
  const body = new ReadableStream({
    type: "bytes",
    async pull(controller) {
      const next = hang === "trickling" ? scheduler.wait(200) : new Promise(() => {});
      await Promise.race([next, aborted]);
      controller.enqueue(new TextEncoder().encode(" "));
    },
  });
  return new Response(body, { headers: { "content-type": "application/json" } });
}
