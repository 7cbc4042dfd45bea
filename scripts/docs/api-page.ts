/** docs/api.md: every operation and every type of fact, from the contract that server and client share. */
import { operations } from '../../packages/sdk/src/contract/contract.ts';
import { factTypes } from '../../packages/sdk/src/contract/facts.ts';
import type { Operation } from '../../packages/sdk/src/contract/operation.ts';
import { type Right, rights, roleNames, roles } from '../../packages/sdk/src/contract/rights.ts';
import { anchorOf, code, page, sentence, table } from './markdown.ts';
import { explain, type Shape, shapeOf, typeOf, valuesOf } from './shape.ts';

interface Row {
  readonly path: string;
  readonly shape: Shape;
  readonly isOptional: boolean;
}

/** The fields of a shape, those of inner mappings below them: `instances[].exit.code`. */
function rowsOf(shape: Shape, path: string): Row[] {
  if (shape.items) return rowsOf(shape.items, `${path}[]`);
  if (valuesOf(shape)) return [];
  return Object.entries(shape.properties ?? {}).flatMap(([key, value]) => {
    const here = path === '' ? key : `${path}.${key}`;
    return [{ path: here, shape: value, isOptional: !shape.required?.includes(key) }, ...rowsOf(value, here)];
  });
}

/** The values of an enumeration of facts are listed below, once. */
const typeText = (shape: Shape): string =>
  shape.enum?.length === Object.keys(factTypes).length ? 'one of [the types](#types-of-facts)' : typeOf(shape);

interface Presence {
  readonly title: string;
  readonly always: string;
  readonly maybe: string;
}

const asked: Presence = { title: 'Needed', always: 'required', maybe: 'optional' };
const answered: Presence = { title: 'There', always: 'always', maybe: 'sometimes' };

function fields(shape: Shape, presence: Presence): string {
  const rows = rowsOf(shape, '').map((row) => {
    const { meaning, byDefault } = explain(row.shape.description);
    const about = byDefault === '' ? sentence(meaning) : `${sentence(meaning)} Default: ${byDefault}.`.trim();
    return [code(row.path), typeText(row.shape), row.isOptional ? presence.maybe : presence.always, about];
  });
  return table(['Field', 'Type', presence.title, 'Meaning'], rows);
}

function inputOf(title: string, shape: Operation['query']): string[] {
  return shape === undefined ? [] : [`${title}:`, fields(shapeOf(shape), asked)];
}

/** Answers that several operations share are told at the first of them. */
function answerOf(name: string, { answer, stream }: Operation, told: Map<string, string>): string[] {
  const text = JSON.stringify(answer);
  const first = told.get(text);
  if (first !== undefined) return [`Answer: as of [${first}](#${anchorOf(first)}).`];
  told.set(text, name);
  const begin = stream ? 'Answer: a stream of server-sent events; the `data` of each is JSON:' : 'Answer:';
  return [begin, fields(shapeOf(answer), answered)];
}

function needsOf({ needs, about, local }: Operation): string {
  if (local) return 'Only at the control socket.';
  if (needs === 'nothing') return 'Needs no right.';
  const reach =
    about === undefined
      ? ''
      : about === 'each'
        ? ' The answer holds what the caller has it for.'
        : ' It is asked for each service that is named.';
  return `Needs the right [\`${needs}\`](#rights).${reach}`;
}

function operationPart(name: string, operation: Operation, told: Map<string, string>): string[] {
  return [
    `### ${name}`,
    `\`${operation.method} ${operation.path}\``,
    sentence(operation.summary),
    needsOf(operation),
    ...inputOf('In the path', operation.params),
    ...inputOf('Query', operation.query),
    ...inputOf('Body (JSON)', operation.body),
    ...answerOf(name, operation, told),
  ];
}

const intro = `# API

The daemon answers HTTP on the unix socket \`control.sock\` in its state directory, which only its owner may open, and with an \`api:\` section over
HTTPS to people with sessions and programs with tokens: [the guide](api-guide.md). The command line uses nothing else, so whatever it does, a program can do too:

\`\`\`sh
curl --unix-socket /var/lib/steward/control.sock http://localhost/v1/status
\`\`\`

From JavaScript, \`createClient({ socketPath })\` of \`@steward/sdk/client\` has one method for each operation, with its types.

Answers are JSON. A refusal has a status of 400 or above and the type \`application/problem+json\`: \`code\` (one of
[these](errors.md)), \`detail\` (what is wrong), \`hint\` (what to do) and \`status\`. A stream ends when its reader goes away.`;

const rightsPart = table(
  ['Right', 'What it allows', 'Roles that give it'],
  (Object.entries(rights) as [Right, string][]).map(([right, meaning]) => [
    code(right),
    sentence(meaning),
    roleNames.filter((role) => (roles[role] as readonly Right[]).includes(right)).join(', '),
  ]),
);

const factsPart = `## Types of facts

A fact is something that happened. The journal keeps the last of them; \`steward events\` and [listFacts](#listfacts) show them.`;

/** The whole page. */
export function apiPage(): string {
  const all = Object.entries(operations) as [string, Operation][];
  const told = new Map<string, string>();
  return page([
    intro,
    '## Operations',
    table(
      ['Operation', 'Request', 'What it does'],
      all.map(([name, { method, path, summary }]) => [`[${name}](#${anchorOf(name)})`, code(`${method} ${path}`), sentence(summary)]),
    ),
    ...all.flatMap(([name, operation]) => operationPart(name, operation, told)),
    '## Rights',
    rightsPart,
    factsPart,
    table(
      ['Type', 'Meaning'],
      Object.entries(factTypes).map(([type, meaning]) => [code(type), meaning]),
    ),
  ]);
}
