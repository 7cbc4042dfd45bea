/** A look into another Node process, by its debugger. */
import { setTimeout as wait } from 'node:timers/promises';

const address = 'http://127.0.0.1:9229/json/list';

/** Asks a process for its heap. */
export type Inspector = Disposable & {
  /** Bytes in use right after a garbage collection. */
  heapBytes: () => Promise<number>;
};

type Answer = { id: number; result?: { result?: { value?: unknown } } };

/**
 * Opens the debugger of `pid` (SIGUSR1) on Node's usual port. Undefined when it does not open, or when another process has the port:
 * then only what the kernel tells is known.
 */
export async function inspect(pid: number): Promise<Inspector | undefined> {
  process.kill(pid, 'SIGUSR1');
  const url = await debuggerUrl();
  if (url === undefined) return undefined;
  const socket = new WebSocket(url);
  const waiting = new Map<number, (answer: Answer) => void>();
  socket.onmessage = ({ data }) => {
    const answer = JSON.parse(String(data)) as Answer;
    waiting.get(answer.id)?.(answer);
    waiting.delete(answer.id);
  };
  await new Promise((resolve) => {
    socket.onopen = resolve;
    socket.onerror = resolve;
  });
  let last = 0;
  const call = (method: string, params: object = {}): Promise<Answer> =>
    new Promise((resolve) => {
      waiting.set(++last, resolve);
      socket.send(JSON.stringify({ id: last, method, params }));
    });
  const evaluate = async (expression: string): Promise<number> =>
    Number((await call('Runtime.evaluate', { expression })).result?.result?.value);
  if ((await evaluate('process.pid')) !== pid) {
    socket.close();
    return undefined;
  }
  return {
    heapBytes: async () => {
      await call('HeapProfiler.collectGarbage');
      return evaluate('process.memoryUsage().heapUsed + process.memoryUsage().external');
    },
    [Symbol.dispose]: () => socket.close(),
  };
}

async function debuggerUrl(): Promise<string | undefined> {
  for (const deadline = Date.now() + 5_000; Date.now() < deadline; await wait(100)) {
    try {
      const [target] = (await (await fetch(address)).json()) as { webSocketDebuggerUrl: string }[];
      if (target) return target.webSocketDebuggerUrl;
    } catch {
      // not open yet
    }
  }
  return undefined;
}
