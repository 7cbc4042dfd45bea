/**
 * Sending the lines of a log to syslog. They are read from the log, outside the way that output takes: the log is the queue,
 * so that a receiver that is slow or away costs no memory and no program waits for it. Where sending goes on is kept on disk;
 * after a kill of the daemon the lines of the last second may come twice. What falls too far behind is skipped, counted and told.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import type { SyslogSpec } from '../config/syslog.ts';
import { levelOf } from './level.ts';
import type { Backlog, LogLine, Place, Stretch } from './log-reader.ts';
import { type Link, openLink } from './syslog-link.ts';
import { syslogMessage } from './syslog-message.ts';

export type { SyslogSpec };

export type SyslogTrouble = {
  readonly syslog: 'down' | 'up' | 'skipped';
  readonly text: string;
  readonly skippedBytes: number;
};

export interface ForwarderOptions {
  /** What it was made of: another key needs another forwarder. */
  readonly key: string;
  readonly spec: SyslogSpec;
  /** Where the place is kept. */
  readonly stateFile: string;
  readonly read: (place: Place | undefined) => Stretch;
  readonly backlog: (place: Place | undefined) => Backlog;
  /** The end of the log. */
  readonly end: () => Place | undefined;
  readonly onTrouble: (trouble: SyslogTrouble) => void;
}

export interface Forwarder {
  readonly key: string;
  /** The log has grown. */
  look(): void;
  /** Sends what is there still, for a second at most. */
  stop(): Promise<void>;
}

const firstRetryMs = 500;
const longestRetryMs = 5000;
const saveEveryMs = 1000;
const lastWordsMs = 1000;
/** What may wait in the log; more is skipped. */
const mostBacklogBytes = 64 * 1024 * 1024;

function loadPlace(file: string): Place | undefined {
  try {
    const { inode, offset, bornMs, runs } = JSON.parse(readFileSync(file, 'utf8')) as Place;
    return [inode, offset, bornMs, runs].every(Number.isFinite) ? { inode, offset, bornMs, runs } : undefined;
  } catch {
    return undefined;
  }
}

/** Begins with what comes from now on, or where an earlier daemon ended. */
export function createForwarder(options: ForwarderOptions): Forwarder {
  const { spec, stateFile, onTrouble } = options;
  const heading = { ...spec, host: hostname() };
  let place = loadPlace(stateFile) ?? options.end();
  let savedAtMs = 0;
  let saved = '';
  let link: Link | undefined;
  let isDown = false;
  /** Whether there was more than has been sent. */
  let isBehind = false;
  let retryMs = firstRetryMs;
  /** When it has to be done, by the clock that does not jump; Infinity while it is not being stopped. */
  let deadline = Number.POSITIVE_INFINITY;
  let hasGrown = true;
  let wake: () => void = () => {};

  const isStopping = (): boolean => deadline !== Number.POSITIVE_INFINITY;
  const isOver = (): boolean => performance.now() >= deadline;

  /** Until the log grows, `ms` have passed, or it is stopped. */
  function rest(ms: number, forGrowth: boolean): Promise<void> {
    return new Promise((resolve) => {
      const timer = ms === Number.POSITIVE_INFINITY ? undefined : setTimeout(resolve, ms);
      timer?.unref();
      wake = () => {
        if (!forGrowth && !isStopping()) return;
        clearTimeout(timer);
        resolve();
      };
    });
  }

  function save(): void {
    savedAtMs = performance.now();
    const text = JSON.stringify(place ?? {});
    if (text === saved) return;
    try {
      mkdirSync(dirname(stateFile), { recursive: true, mode: 0o700 });
      writeFileSync(stateFile, text, { mode: 0o600 });
      saved = text;
    } catch {} // a full disk: the next daemon begins where this one last could write
  }

  /** Skips what is too much, and notices what is gone (rotated away or deleted) before it could be sent. */
  function skipIfFar(): void {
    const { bytes, isGone, from } = options.backlog(place);
    place = from;
    if (isGone && isBehind)
      onTrouble({ syslog: 'skipped', text: `${spec.to}: lines were rotated away before they could be sent`, skippedBytes: 0 });
    if (bytes <= mostBacklogBytes) return;
    place = options.end();
    onTrouble({ syslog: 'skipped', text: `${spec.to}: ${bytes} bytes were not sent, since too much was waiting`, skippedBytes: bytes });
  }

  function wentDown(error: Error): void {
    link?.close();
    link = undefined;
    if (isDown) return;
    isDown = true;
    onTrouble({ syslog: 'down', text: `${spec.to} does not take its lines (${error.message}); they wait in the log`, skippedBytes: 0 });
  }

  function wentUp(): void {
    retryMs = firstRetryMs;
    if (!isDown) return;
    isDown = false;
    onTrouble({ syslog: 'up', text: `${spec.to} takes its lines again`, skippedBytes: 0 });
  }

  /** Whether all of them were sent; not so when there is no more time, or too much is waiting by now. */
  async function sendAll(lines: readonly LogLine[]): Promise<boolean> {
    for (let at = 0; at < lines.length && !isOver(); ) {
      const line = lines[at] as LogLine;
      try {
        link ??= await openLink(spec.to, spec.format);
        await link.send(syslogMessage({ ...line, level: levelOf(line.text) }, heading));
        wentUp();
        at += 1;
        if (at % 100 === 0) await turn();
      } catch (error) {
        wentDown(error as Error);
        if (isStopping()) return false;
        await rest(retryMs, false);
        retryMs = Math.min(longestRetryMs, retryMs * 2);
        if (options.backlog(place).bytes > mostBacklogBytes) return false;
      }
    }
    return !isOver();
  }

  async function work(): Promise<void> {
    while (!isOver()) {
      hasGrown = false;
      skipIfFar();
      const stretch = options.read(place);
      isBehind = stretch.more || stretch.lines.length > 0;
      if (!(await sendAll(stretch.lines))) {
        if (isStopping()) return;
        continue; // what is too much is skipped first
      }
      place = stretch.place;
      isBehind = stretch.more;
      if (performance.now() - savedAtMs >= saveEveryMs) save();
      if (stretch.more || hasGrown) continue;
      save();
      if (isStopping()) return;
      await rest(Number.POSITIVE_INFINITY, true);
    }
  }

  const done = work().catch((error: Error) => onTrouble({ syslog: 'down', text: `${spec.to}: ${error.message}`, skippedBytes: 0 }));
  return {
    key: options.key,
    look() {
      hasGrown = true;
      wake();
    },
    async stop() {
      deadline = Math.min(deadline, performance.now() + lastWordsMs);
      wake();
      const giveUp = new Promise<void>((resolve) => setTimeout(resolve, lastWordsMs).unref());
      await Promise.race([done, giveUp]);
      link?.close();
      save();
    },
  };
}
