/** Watching one start until the instance can serve: looks again and again, reads its lines, or waits for its word. */
import { setTimeout as wait } from 'node:timers/promises';
import type { ReadySpec } from '../config/model.ts';
import type { Output, Place } from '../output/output.ts';
import { look, type Probe } from '../probe/probe.ts';

export interface Readiness {
  /** Its output grew. */
  onOutput(): void;
  /** An sd_notify message came. */
  onNotify(text: string): void;
  cancel(): void;
}

const firstPauseMs = 10;
const longestPauseMs = 1000;
const lookTimeoutMs = 5000;

/** Looks at once, then after 10 ms, doubling up to 1 s, so that a fast start is seen fast and a slow one costs little. */
async function lookUntilReady(probe: Probe, everyMs: number | undefined, cancel: AbortSignal, onReady: () => void): Promise<void> {
  for (let pauseMs = everyMs ?? firstPauseMs; !cancel.aborted; pauseMs = everyMs ?? Math.min(pauseMs * 2, longestPauseMs)) {
    const { ok } = await look(probe, lookTimeoutMs, cancel);
    if (cancel.aborted) return;
    if (ok) return onReady();
    await wait(pauseMs, undefined, { signal: cancel }).catch(() => {});
  }
}

/** Reads the lines of the given log files from where each stood at the start. */
function watchLines(pattern: string, output: Output, begin: ReadonlyMap<string, Place | undefined>, onReady: () => void): () => void {
  const expression = new RegExp(pattern);
  const places = new Map(begin);
  return () => {
    for (const file of begin.keys()) {
      for (let more = true; more; ) {
        const part = output.read(file, places.get(file), false);
        places.set(file, part.place);
        more = part.more;
        if (part.lines.some(({ text }) => expression.test(text))) return onReady();
      }
    }
  };
}

export interface ReadinessOptions {
  readonly ready: ReadySpec;
  readonly output: Output;
  /** Its log files, and where each stood before the start. */
  readonly begin: ReadonlyMap<string, Place | undefined>;
  readonly onReady: () => void;
}

/** Calls `onReady` at most once, and never after `cancel`. */
export function watchReadiness({ ready, output, begin, onReady }: ReadinessOptions): Readiness {
  const controller = new AbortController();
  const once = (): void => {
    if (controller.signal.aborted) return;
    controller.abort();
    onReady();
  };
  const readLines = ready.kind === 'log' ? watchLines(ready.pattern, output, begin, once) : undefined;
  if (ready.kind === 'tcp' || ready.kind === 'unix' || ready.kind === 'http')
    void lookUntilReady(ready, ready.everyMs, controller.signal, once);
  readLines?.();
  return {
    onOutput: () => void (controller.signal.aborted || readLines?.()),
    onNotify: (text) => void (ready.kind === 'notify' && /^READY=1$/m.test(text) && once()),
    cancel: () => controller.abort(),
  };
}
