/** supervisord with its defaults and autorestart. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KeepRunning, Peer } from '../measurement.ts';
import { startProgram, versionOf } from '../program.ts';

const configuration = ({ command, folder }: KeepRunning): string => `
[supervisord]
logfile=${folder}/supervisord.log
pidfile=${folder}/supervisord.pid
childlogdir=${folder}

[program:program]
command=${command.join(' ')}
autorestart=true
`;

export const supervisord: Peer<KeepRunning> = {
  name: 'supervisord',
  version: () => versionOf('supervisord', ['-v']),
  async start(task) {
    const file = join(task.folder, 'supervisord.conf');
    await writeFile(file, configuration(task));
    return startProgram('supervisord', ['-n', '-c', file]);
  },
};
