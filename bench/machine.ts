/** The machine a run was made on: figures mean nothing without it. */
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';

/** One line: processors, memory, kernel, Node, how busy the machine was before the run, and the day. */
export function machineLine(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  const gigabytes = (totalmem() / 2 ** 30).toFixed(1);
  const load = loadavg()[0]?.toFixed(2);
  const day = new Date().toISOString().slice(0, 10);
  return `${availableParallelism()} x ${model}, ${gigabytes} GB, Linux ${release()}, Node ${process.versions.node}, load ${load} before, ${day}`;
}
