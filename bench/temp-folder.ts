/** A folder for the files of a run. */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A new folder, removed when it is disposed of. Everybody may pass through: workers that run as another user reach the sockets in it. */
export async function tempFolder(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'steward-bench-'));
  await chmod(path, 0o711);
  return {
    path,
    // Tried again: a daemon that was told to end may still write its last file.
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }),
  };
}
