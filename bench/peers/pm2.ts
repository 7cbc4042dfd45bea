/** PM2 with its defaults and a home of its own; it restarts with no delay. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { KeepRunning, Peer } from '../measurement.ts';
import { outputOf } from '../program.ts';

export const launcher = fileURLToPath(new URL('../../node_modules/.bin/pm2', import.meta.url));

export const pm2: Peer<KeepRunning> = {
  name: 'PM2',
  version: async () => {
    const text = await readFile(new URL('../../node_modules/pm2/package.json', import.meta.url), 'utf8').catch(() => undefined);
    return text === undefined ? undefined : (JSON.parse(text) as { version: string }).version;
  },
  async start({ command: [script, ...args], folder }) {
    const env = { PM2_HOME: join(folder, 'pm2'), PM2_DISABLE_VERSION_CHECK: 'true' };
    const file = join(folder, 'program.json');
    await writeFile(
      file,
      JSON.stringify({ apps: [{ name: 'program', script, args, interpreter: 'none', autorestart: true, restart_delay: 0 }] }),
    );
    const stop = async (): Promise<void> => void (await outputOf(launcher, ['kill'], env));
    try {
      await outputOf(launcher, ['start', file], env);
    } catch (error) {
      await stop();
      throw error;
    }
    return { [Symbol.asyncDispose]: stop };
  },
};
