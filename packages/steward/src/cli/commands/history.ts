/** history and rollback: configurations that were applied, and going back to one. */
import { StewardError } from '../../errors.ts';
import { type Command, jsonOption } from '../command.ts';
import { count } from '../print.ts';
import { planText } from '../views.ts';

function numberOf(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new StewardError('cli/usage', `"${text}" is no number of a version`, { status: 400, hint: '`steward history` lists them.' });
}

export const history: Command = {
  name: 'history',
  usage: '[--json] [-n COUNT] [VERSION]',
  options: { ...jsonOption, lines: { type: 'string', short: 'n' } },
  takes: 'any',
  async run({ client, io, values, positionals: [version] }) {
    if (version !== undefined) {
      const found = await client.getConfigVersion({ params: { version: numberOf(version) } });
      if (values.json) io.out(JSON.stringify(found));
      else for (const { path, text } of found.files) io.out(`# ${path}\n${text.trimEnd()}\n`);
      return 0;
    }
    const limit = numberOf((values.lines as string | undefined) ?? '20');
    const { versions } = await client.listConfigVersions({ query: { limit: Math.min(1000, Math.max(1, limit)) } });
    if (values.json) io.out(JSON.stringify({ versions }));
    else if (versions.length === 0) io.out('nothing was applied yet');
    else
      for (const { version: number, at, by, summary, files } of versions)
        io.out(`${String(number).padStart(4)}  ${at}  ${by}  ${summary}  (${count(files.length, 'file')})`);
    return 0;
  },
};

export const rollback: Command = {
  name: 'rollback',
  usage: '[--json] [--replace] VERSION',
  details: 'The files on the disk are overwritten with the texts of that version, which `steward history VERSION` shows.',
  options: { ...jsonOption, replace: { type: 'boolean' } },
  takes: 'some',
  async run({ client, io, values, positionals: [version = ''] }) {
    const plan = await client.rollBackConfig({ params: { version: numberOf(version) }, body: { replace: values.replace === true } });
    io.out(values.json ? JSON.stringify(plan) : planText(plan, io.isTerminal));
    return 0;
  },
};
