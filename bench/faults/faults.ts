/** The faults that users of other supervisors have met, done to all of them: what comes of each. docs/faults.md has the whole table. */
import { installed, type Measurement } from '../measurement.ts';
import { pm2Fleet } from '../peers/pm2-fleet.ts';
import { stewardFleet } from '../peers/steward-fleet.ts';
import { supervisordFleet } from '../peers/supervisord-fleet.ts';
import type { FleetPeer } from '../supervised.ts';
import { faults } from './cases.ts';
import { suffer } from './trial.ts';

const peers: readonly FleetPeer[] = [stewardFleet, supervisordFleet, pm2Fleet];

export const faultTable: Measurement = {
  name: 'faults',
  about: 'faults of supervisors (docs/faults.md), the same done to each peer, and what came of it',
  pace: { rounds: 1, seconds: 0, workers: [] },
  async run(signal, print, { rounds }) {
    const present = await installed(peers, print);
    for (let round = 0; round < rounds; round++) {
      for (const fault of faults) {
        if (fault.needsDisk && process.getuid?.() !== 0) {
          print(`${fault.id}: needs root, who may mount a disk to fill`);
          continue;
        }
        print(`${fault.id}: ${fault.about}`);
        for (const peer of present) {
          signal.throwIfAborted();
          const outcome = await suffer(fault, peer, signal).catch((error: Error) => {
            if (signal.aborted) throw error;
            return `cannot be tried: ${error.message.slice(0, 300)}`;
          });
          print(`  ${peer.name.padEnd(12)} ${outcome}`);
        }
      }
    }
  },
};
