/** The end of an instance's last run: what was seen of it when it came, and why it came, as far as that can be found out afterwards. */
import { constants } from 'node:os';
import type { InstanceSpec } from '../config/model.ts';
import type { Output, Place } from '../output/output.ts';
import type { Exit, InstanceState } from './machine.ts';
import type { Identity } from './spawn.ts';
import type { Stream } from './streams.ts';
import { type Ended, explainEnd, straysOf } from './traps.ts';
import type { Trees } from './tree.ts';

/** Ending well this soon, it may have made itself a daemon. */
const daemonWithinMs = 10_000;
/** From so many ends in a row on, its last lines are told. */
const endsTold = 3;
const linesRead = 40;

/** A run and where its output began in each log. */
export interface EndedRun {
  readonly runId: string;
  readonly spec: InstanceSpec;
  readonly identity: Identity | undefined;
  readonly from: ReadonlyMap<string, Place | undefined>;
}

/** Why a run ended, in words. */
export interface Explained {
  readonly runId: string;
  readonly text: string;
  /** It was not told for the end before. */
  readonly isNews: boolean;
  /** Its last lines were waited for: by now it may have been started again. */
  readonly waited: boolean;
}

export interface LastEnd {
  /** The first process has ended after `ageMs`: what it left behind is looked at before anything is done about it. */
  note(run: EndedRun, exit: Exit, phase: InstanceState['phase'], ageMs: number): void;
  /** Undefined when there is nothing to say, or somebody wanted the end. */
  explain(state: () => InstanceState, streams: () => readonly Stream[]): Promise<Explained | undefined>;
}

export function createLastEnd({ trees, output }: { readonly trees: Trees; readonly output: Output }): LastEnd {
  let last: { readonly run: EndedRun; readonly seen: Omit<Ended, 'lines'> } | undefined;
  let told = '';

  /** The last it wrote, in the order in which it came. */
  function lastLines({ from }: EndedRun, streams: readonly Stream[]): string[] {
    const lines = streams.flatMap(({ file }) => {
      const first = from.get(file);
      const end = output.place(file, { lines: linesRead });
      const place = first !== undefined && end !== undefined && first.inode === end.inode && first.offset > end.offset ? first : end;
      return output.read(file, place, true).lines;
    });
    return lines.toSorted((a, b) => a.timeMs - b.timeMs).map(({ text }) => text);
  }

  return {
    note(run, exit, phase, ageMs) {
      const isEarly = phase !== 'STOPPING' && ageMs < daemonWithinMs;
      const strays = exit.code === 0 && isEarly ? straysOf(trees.members(run.runId)) : [];
      const outOfMemory = exit.signal === constants.signals.SIGKILL && trees.outOfMemoryKills(run.runId) > 0;
      const { spec, identity } = run;
      last = { run, seen: { spec, identity, exit, outOfMemory, early: phase === 'STARTING', strays } };
    },
    async explain(state, streams) {
      const { phase, ends } = state();
      if (last === undefined || phase === 'STOPPING' || phase === 'STOPPED') return undefined;
      const { run, seen } = last;
      const rests = phase === 'FATAL' || phase === 'EXITED';
      const waited = seen.exit.code !== 0 && (rests || (phase === 'BACKOFF' && ends >= endsTold));
      if (waited) await output.settle();
      const text = explainEnd({ ...seen, lines: waited ? lastLines(run, streams()) : [] });
      if (text === undefined) return undefined;
      const isNews = text !== told;
      told = text;
      return { runId: run.runId, text, isNews, waited };
    },
  };
}
