/** docs/errors.md: every code with what it means, grouped by the room that tells it. */
import { apacheCodes } from '../../packages/steward/src/config/apache/codes.ts';
import { configCodes } from '../../packages/steward/src/config/codes.ts';
import { nginxCodes } from '../../packages/steward/src/config/nginx/codes.ts';
import { supervisordCodes } from '../../packages/steward/src/config/supervisord/codes.ts';
import { errorCodes } from '../../packages/steward/src/error-codes.ts';
import { gatewayErrors } from '../../packages/steward/src/gateway/errors.ts';
import { code, page, sentence, table } from './markdown.ts';

type Codes = Readonly<Record<string, string>>;

const refusalsOf = (room: string): Codes => Object.fromEntries(Object.entries(errorCodes).filter(([name]) => name.startsWith(`${room}/`)));

/** All codes, by the heading they stand under. */
export const codeGroups: readonly { readonly title: string; readonly about: string; readonly codes: Codes }[] = [
  {
    title: 'Configuration',
    about: 'Told with file, line and column for a steward.yaml, and for what a file of another format amounts to.',
    codes: configCodes,
  },
  { title: 'supervisord files', about: 'Told while a supervisord file is read.', codes: supervisordCodes },
  { title: 'nginx files', about: 'Told while an nginx file is read.', codes: nginxCodes },
  { title: 'Apache files', about: 'Told while an Apache file is read.', codes: apacheCodes },
  {
    title: 'Gateway',
    about:
      'Told by `plan`, `apply` and `check` for certificates, and while it runs by `up`, by the operation getStatus and in the journal.',
    codes: gatewayErrors,
  },
  { title: 'Applying files', about: 'Why an apply or a plan was refused as a whole.', codes: refusalsOf('config') },
  { title: 'API', about: 'Why an operation was refused.', codes: refusalsOf('api') },
  { title: 'People', about: 'Why a login, or something about people, sessions and tokens, was refused.', codes: refusalsOf('identity') },
  { title: 'Audit trail', about: 'Why the audit trail cannot be read, or is not whole.', codes: refusalsOf('audit') },
  { title: 'Command line', about: 'Why a command did not run.', codes: refusalsOf('cli') },
  { title: 'Daemon', about: 'Why the daemon did not start.', codes: refusalsOf('daemon') },
];

const intro = `# Codes

Everything that Steward says no to, or warns of, carries a code in brackets at its end. The text says what is wrong in your
case and what to do; this page says what the code means in general.

- An **error** stops an apply: nothing is changed, and what runs goes on running.
- A **warning** does not stop it; most likely something is not as you meant it.
- A **note** names something of a supervisord, nginx or Apache file that Steward does not take over, and what it does instead.

Over the API the same fields come as \`application/problem+json\`: \`code\`, \`detail\`, \`hint\`, \`status\`. On the command line the exit
code is 0 when done, 1 when it failed, 2 when what you gave is wrong, 3 when no daemon can be reached.`;

/** The whole page. */
export function errorsPage(): string {
  return page([
    intro,
    ...codeGroups.flatMap(({ title, about, codes }) => [
      `## ${title}`,
      about,
      table(
        ['Code', 'Meaning'],
        Object.entries(codes)
          .toSorted(([a], [b]) => (a < b ? -1 : 1))
          .map(([name, meaning]) => [code(name), sentence(meaning)]),
      ),
    ]),
  ]);
}
