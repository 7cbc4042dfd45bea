/** Waiting for what a step waits for: one look, or look after look until it is there. */
import { setTimeout as pause } from 'node:timers/promises';
import type { WaitSpec } from '../config/model.ts';
import { look, type ProbeResult } from '../probe/probe.ts';
import { lookAt, lookAtMount, type Outcome } from './mount.ts';

const lookMs = 5000;
const firstPauseMs = 100;
const longestPauseMs = 1000;

/** What is waited for, as people write it. */
export function describeWait(wait: WaitSpec): string {
  switch (wait.kind) {
    case 'tcp':
      return `tcp ${wait.host.includes(':') ? `[${wait.host}]` : wait.host}:${wait.port}`;
    case 'http':
      return wait.url;
    default:
      return `${wait.kind} ${wait.path}`;
  }
}

async function lookOnce(wait: WaitSpec, signal: AbortSignal): Promise<Outcome> {
  if (wait.kind === 'path') return lookAt(wait.path, signal);
  if (wait.kind === 'mount') return lookAtMount(wait.path, signal);
  const { ok, detail }: ProbeResult = await look(wait, lookMs, signal);
  return { ok, why: `${describeWait(wait)}: ${detail}` };
}

/** Looks until it is there or `signal` fires, with `patient`; else once. What was seen last. Never rejects. */
export async function waitFor(wait: WaitSpec, patient: boolean, signal: AbortSignal): Promise<Outcome> {
  let seen = await lookOnce(wait, signal);
  for (let pauseMs = firstPauseMs; patient && !seen.ok && !signal.aborted; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    await pause(pauseMs, undefined, { signal }).catch(() => {});
    const next = signal.aborted ? undefined : await lookOnce(wait, signal);
    // A look that the end of the time broke off has seen nothing.
    if (next !== undefined && (next.ok || !signal.aborted)) seen = next;
  }
  return seen;
}
