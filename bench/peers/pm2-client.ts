/** PM2's own module, connected to the daemon of $PM2_HOME: does over IPC what it is told, and answers with what is known of all or with an error. */
import { createRequire } from 'node:module';

type Callback<T> = (error: Error | null, value: T) => void;

type Told = { name: string; pid: number; pm2_env: { status: string } };

/** The part of PM2's module that is used here. */
type Module = {
  connect: (done: Callback<unknown>) => void;
  list: (done: Callback<Told[]>) => void;
} & Record<'start' | 'stop' | 'restart', (name: string, done: Callback<unknown>) => void>;

type Wish = { action: 'list' } | { action: 'start' | 'stop' | 'restart'; name: string };
type Outcome = { error: string } | { told: { name: string; pid: number; state: string }[] };
/** `id` is the asker's own; the answer bears it. */
export type Request = { id: number; wish: Wish };
export type Reply = { id: number; outcome: Outcome };

const pm2 = createRequire(import.meta.url)('pm2') as Module;

function obey(wish: Wish, reply: (outcome: Outcome) => void): void {
  if (wish.action === 'list')
    return pm2.list((error, all) =>
      reply(error ? { error: error.message } : { told: all.map(({ name, pid, pm2_env: { status } }) => ({ name, pid, state: status })) }),
    );
  pm2[wish.action](wish.name, (error) => reply(error ? { error: error.message } : { told: [] }));
}

pm2.connect((error) => {
  if (error) throw error;
  process.on('message', (message) => {
    const { id, wish } = message as Request;
    obey(wish, (outcome) => process.send?.({ id, outcome } satisfies Reply));
  });
  process.on('disconnect', () => process.exit());
  process.send?.('connected');
});
