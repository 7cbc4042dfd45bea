/** Blocks whose lines are no directives: map and types. */
import { isText, takeRegex } from '../arguments.ts';
import { includedDirectives } from '../include.ts';
import type { Directive, Word } from '../parse.ts';
import { anywhere, badValue, type Call, type Entry, given, type MapBlock } from '../scene.ts';

type Case = MapBlock['cases'][number];

/** Exact values first, then wildcards from long to short, then regular expressions as they stand: nginx's order. */
const rankOf = ({ when }: Case, hostnames: boolean): number => {
  if (when.startsWith('~')) return 3;
  if (!hostnames) return 0;
  return when.startsWith('*.') ? 1 : when.endsWith('.*') ? 2 : 0;
};

function inOrder(cases: readonly Case[], hostnames: boolean): readonly Case[] {
  const rank = (one: Case): number => rankOf(one, hostnames);
  const byLength = (one: Case, other: Case): number => (rank(one) === 1 || rank(one) === 2 ? other.when.length - one.when.length : 0);
  return [...cases].sort((one, other) => rank(one) - rank(other) || byLength(one, other));
}

/** A source value in Steward's spelling: `~` begins a regular expression, `\` takes its meaning from what follows. */
function spellings(call: Call, word: Word, hostnames: boolean): readonly string[] {
  const [, sign, regex] = /^(~\*?)([\s\S]*)$/.exec(word.text) ?? [];
  if (sign !== undefined && regex !== undefined) {
    const mistake = takeRegex(call.scene, regex);
    if (mistake === undefined) return [word.text];
    const message = `${call.directive.name}: "${regex}" is not a regular expression Steward can read: ${mistake}`;
    call.scene.error('config/nginx-value', message, word.at, 'Write it as JavaScript reads it too.');
    return [];
  }
  const plain = word.text.replace(/^\\/, '');
  if (plain.startsWith('~')) return [`~*^${plain.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&')}$`];
  return hostnames && plain.startsWith('.') ? [plain.slice(1), `*${plain}`] : [plain];
}

const switches = new Set(['hostnames', 'volatile', 'default', 'include']);

function readMapLine(call: Call, line: Directive, hostnames: boolean): { readonly cases: readonly Case[]; readonly byDefault?: Word } {
  const [value] = line.args;
  if (line.block !== undefined || value === undefined || line.args.length > 1) {
    if (!(line.args.length === 0 && switches.has(line.name))) {
      const message = `map: "${line.name}" needs 1 value, not ${line.args.length}`;
      call.scene.error('config/nginx-arguments', message, line.at, 'Write lines such as old.example new.example;');
    }
    return { cases: [] };
  }
  if (!isText(call, value)) return { cases: [] };
  if (line.name === 'default') return { cases: [], byDefault: value };
  const source = { text: line.name, quoted: false, at: line.at };
  return { cases: spellings(call, source, hostnames).map((when) => ({ when, to: given(value.text, value), at: line.at })) };
}

/** https://nginx.org/en/docs/http/ngx_http_map_module.html */
function readMap(call: Call): void {
  const [from, name] = call.args as [Word, Word];
  const { scene, directive } = call;
  const [, plain] = /^\$(\w+)$/.exec(name.text) ?? [];
  if (plain === undefined) {
    badValue(call, name, 'a variable', 'Write map $from $name { ... }');
    return;
  }
  if (!isText(call, from)) return;
  const lines = includedDirectives(directive.block ?? [], scene);
  const hostnames = lines.some((line) => line.name === 'hostnames' && line.args.length === 0);
  const read = lines.map((line) => readMapLine(call, line, hostnames));
  const cases = read.flatMap((one) => one.cases);
  const seen = new Map<string, Case>();
  for (const one of cases) {
    const key = one.when.startsWith('~') ? one.when : one.when.toLowerCase();
    if (seen.has(key) && !one.when.startsWith('~'))
      scene.error('config/nginx-duplicate', `map: "${one.when}" stands twice`, one.at, 'Remove one.');
    else if (!seen.has(key)) seen.set(key, one);
  }
  const defaults = read.flatMap(({ byDefault }) => byDefault ?? []);
  const [byDefault, second] = defaults;
  if (second !== undefined) scene.error('config/nginx-duplicate', 'map: default stands twice', second.at, 'Remove one.');
  scene.defined.add(plain.toLowerCase());
  scene.maps.push({
    name: plain.toLowerCase(),
    from: given(from.text, from),
    hostnames,
    cases: inOrder([...seen.values()], hostnames),
    ...(byDefault === undefined ? {} : { byDefault: given(byDefault.text, byDefault) }),
    at: directive.at,
  });
}

/** Media types by extension; several `types` on one level add up. */
function readTypes(call: Call): void {
  const found: Record<string, string> = { ...call.level.settings.types?.value };
  for (const line of includedDirectives(call.directive.block ?? [], call.scene))
    for (const word of line.args)
      Object.defineProperty(found, word.text.toLowerCase(), { value: line.name, enumerable: true, configurable: true, writable: true });
  call.level.settings.types = given(found, call.directive);
}

export const mapEntries: readonly Entry[] = [
  { name: 'map', contexts: ['http'], args: [2, 2], block: true, read: readMap },
  { name: 'types', contexts: anywhere, args: [0, 0], block: true, read: readTypes },
];
