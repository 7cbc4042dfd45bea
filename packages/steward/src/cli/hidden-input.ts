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

/**
 * Asks on the terminal, one after the other; nothing of the answers is shown, from before the first question on, so that nobody can type too
 * early. @throws StewardError for Ctrl-C.
 */
export function askAllHidden(questions: readonly string[]): Promise<string[]> {
  const { stdin, stderr } = process;
  const answers: string[] = [];
  let type = createTyping();
  stdin.setRawMode(true);
  stdin.setEncoding('utf8');
  return new Promise((resolve, reject) => {
    const done = (work: () => void): void => {
      stdin.off('data', onData);
      stdin.setRawMode(false);
      stdin.pause();
      work();
    };
    const onData = (keys: string): void => {
      for (const key of keys) {
        const typed = type(key);
        if (typed === undefined) continue;
        stderr.write('\n');
        if (typed === 'interrupted') return done(() => reject(new StewardError('cli/usage', 'nothing was changed', { status: 400 })));
        answers.push(typed.text);
        if (answers.length === questions.length) return done(() => resolve(answers));
        type = createTyping();
        stderr.write(questions[answers.length] as string);
      }
    };
    stdin.on('data', onData);
    stdin.resume();
    stderr.write(questions[0] as string);
  });
}

/** Asks one thing. */
export const askHidden = async (question: string): Promise<string> => (await askAllHidden([question]))[0] as string;

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
