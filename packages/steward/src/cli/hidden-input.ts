/** Reading what must not be seen: from a terminal without echo, or from what is piped in. */
import { StewardError } from '../errors.ts';

const enter = /[\r\n]/;
const [interrupt, end, clear] = ['\x03', '\x04', '\x15'];
const erase = ['\x7f', '\b'];

/** Takes keys as they come; the text when Enter or the end of input comes, undefined before that. `interrupted` for Ctrl-C. Pure. */
export function createTyping(): (keys: string) => { readonly text: string } | 'interrupted' | undefined {
  let typed: string[] = [];
  return (keys) => {
    for (const key of keys) {
      if (enter.test(key) || key === end) return { text: typed.join('') };
      if (key === interrupt) return 'interrupted';
      if (key === clear) typed = [];
      else if (erase.includes(key)) typed.pop();
      else if (key >= ' ' || key === '\t') typed.push(key);
    }
    return undefined;
  };
}

/** Asks on the terminal; nothing of the answer is shown. @throws StewardError for Ctrl-C. */
export function askHidden(question: string): Promise<string> {
  const { stdin, stderr } = process;
  stderr.write(question);
  stdin.setRawMode(true);
  stdin.setEncoding('utf8');
  const type = createTyping();
  return new Promise((resolve, reject) => {
    const done = (work: () => void): void => {
      stdin.setRawMode(false);
      stdin.pause();
      stdin.off('data', onData);
      stderr.write('\n');
      work();
    };
    const onData = (keys: string): void => {
      const typed = type(keys);
      if (typed === 'interrupted') done(() => reject(new StewardError('cli/usage', 'nothing was changed', { status: 400 })));
      else if (typed !== undefined) done(() => resolve(typed.text));
    };
    stdin.on('data', onData);
    stdin.resume();
  });
}

/** All of standard input; undefined when it is longer than `mostBytes`. */
export async function readInput(mostBytes: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes > mostBytes) return undefined;
  }
  return Buffer.concat(chunks);
}
