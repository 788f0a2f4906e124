// How far the benchmark is, and how long the rest takes: in one line that changes, or outside of a terminal in one line per step.
import type { Advance } from "./part.ts";

interface Step {
  name: string;
  /** An estimate. */
  seconds: number;
}

/** Below this share, a step's own pace says too little. */
const LEAST_SHARE = 0.1;

/** Returns a function that begins the next of the steps. `write` gets a text; on a terminal, with its control characters. */
export function makeProgress(
  steps: readonly Step[],
  { isTerminal, write, readSeconds }: { isTerminal: boolean; write(text: string): void; readSeconds(): number },
): { begin(): Advance; end(): void } {
  let index = -1;
  const show = (share: number, startedSeconds: number) => {
    const { name = "", seconds = 0 } = steps[index] ?? {};
    const own = share < LEAST_SHARE ? seconds * (1 - share) : ((readSeconds() - startedSeconds) / share) * (1 - share);
    const left = steps.slice(index + 1).reduce((sum, step) => sum + step.seconds, own);
    const text = `${index + 1}/${steps.length} ${name}`;
    write(
      isTerminal
        ? `\r\u001B[2K${text}, ${Math.round(share * 100)} %: ${formatSeconds(left)} left`
        : `${text}: ${formatSeconds(left)} left\n`,
    );
  };
  return {
    begin() {
      index++;
      const startedSeconds = readSeconds();
      show(0, startedSeconds);
      return (share) => {
        if (isTerminal) show(share, startedSeconds);
      };
    },
    end() {
      if (isTerminal) write("\r\u001B[2K");
    },
  };
}

/** In steps of ten seconds, because it's an estimate. */
function formatSeconds(seconds: number): string {
  const tens = Math.ceil(seconds / 10) * 10;
  return tens < 60 ? `${tens} s` : `${Math.floor(tens / 60)} min ${tens % 60} s`;
}
