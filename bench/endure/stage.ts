/** What most trials begin with: back ends on four unix sockets, and Steward in front. */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../free-port.ts';
import { startProgram, untilServed } from '../program.ts';

export const backEndProgram = fileURLToPath(new URL('back-end.ts', import.meta.url));

/** One process on four unix sockets in `folder`: their addresses. */
export async function startBackEnds(folder: string, stack: AsyncDisposableStack): Promise<string[]> {
  const paths = [1, 2, 3, 4].map((number) => join(folder, `${number}.sock`));
  const port = await freePort();
  stack.use(await startProgram(process.execPath, [backEndProgram, String(port), ...paths]));
  await untilServed(`http://127.0.0.1:${port}/`);
  return paths.map((path) => `unix:${path}`);
}

/** A folder with files of these sizes that anybody may read. */
export async function makeFiles(folder: string, sizes: Readonly<Record<string, number>>): Promise<string> {
  const files = join(folder, 'files');
  await mkdir(files, { recursive: true });
  await chmod(files, 0o755);
  for (const [name, bytes] of Object.entries(sizes)) await writeFile(join(files, name), Buffer.alloc(bytes, 'x'));
  return files;
}
