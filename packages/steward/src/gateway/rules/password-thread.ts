/** The thread that slow hashes are worked out in, so that other requests go on meanwhile. Started by `password-check.ts`. */
import { parentPort } from 'node:worker_threads';
import { verifyPassword } from './passwords.ts';

parentPort?.on('message', ({ id, password, hash }: { id: number; password: string; hash: string }) => {
  parentPort?.postMessage({ id, fits: verifyPassword(password, hash) });
});
