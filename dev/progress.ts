// What a slow step shows meanwhile: on a terminal its name and seconds, elsewhere nothing, so that a log has one line per step.

/** Shows the step on standard error until the returned function is called. */
export function showProgress(step: string): () => void {
  const { stderr } = process;
  if (!stderr.isTTY) return () => {};
  const startedMs = performance.now();
  const draw = () => stderr.write(`\r… ${step} (${Math.round((performance.now() - startedMs) / 1000)} s)\x1b[K`);
  draw();
  const timer = setInterval(draw, 1_000);
  return () => {
    clearInterval(timer);
    stderr.write("\r\x1b[K");
  };
}
