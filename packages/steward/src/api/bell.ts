/** Waking a reader that looks for itself what is new: rings that come while it is busy count as one. */

export interface Bell {
  ring(): void;
  /** Yields once for each ring or several of them, until `signal` aborts. */
  until(signal: AbortSignal): AsyncGenerator<void>;
}

export function createBell(): Bell {
  let rings = 0;
  let wake = new Set<() => void>();
  return {
    ring() {
      rings += 1;
      const sleeping = wake;
      wake = new Set();
      for (const call of sleeping) call();
    },
    async *until(signal) {
      let heard = rings;
      while (!signal.aborted) {
        if (heard === rings) {
          await new Promise<void>((resolve) => {
            wake.add(resolve);
            signal.addEventListener('abort', () => resolve(), { once: true });
          });
          continue;
        }
        heard = rings;
        yield;
      }
    },
  };
}
