/** The programs behind the gateways. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './free-port.ts';
import { type Program, startProgram, untilServed } from './program.ts';

/** A small JSON on unix sockets and on a port, by Node. */
export const jsonProgram = fileURLToPath(new URL('peers/json-back-end.ts', import.meta.url));
const downloadProgram = fileURLToPath(new URL('peers/download-back-end.ts', import.meta.url));

/** `address` asks the program itself over TCP, `sockets` are what gateways are to ask. */
export type BackEnd = { address: string; port: number; sockets: readonly string[]; program: Program };

/** One process on `count` unix sockets in `folder`, and on a port. */
export const startJson = (folder: string, count: number, stack: AsyncDisposableStack): Promise<BackEnd> =>
  startBackEnd(jsonProgram, folder, count, stack);

/** One process that answers everything with 100 MB. */
export const startDownloads = (folder: string, stack: AsyncDisposableStack): Promise<BackEnd> =>
  startBackEnd(downloadProgram, folder, 1, stack);

async function startBackEnd(file: string, folder: string, count: number, stack: AsyncDisposableStack): Promise<BackEnd> {
  const paths = Array.from({ length: count }, (_, index) => join(folder, `${index + 1}.sock`));
  const port = await freePort();
  const address = `http://127.0.0.1:${port}`;
  const program = stack.use(await startProgram(process.execPath, [file, String(port), ...paths]));
  await untilServed(`${address}/`);
  return { address, port, sockets: paths.map((path) => `unix:${path}`), program };
}
