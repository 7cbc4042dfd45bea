/** Seeded damage to texts, for tests that must see what a person might mistype. Test code only. */

const snippets = [
  ...[
    ' ',
    '  ',
    '\t',
    '\n',
    '\n ',
    '\r\n',
    '\r',
    '=',
    ':',
    ',',
    ';',
    ' ;',
    '#',
    ' #',
    '"',
    "'",
    '\\',
    '%',
    '%%',
    '%(',
    ')',
    ')s',
    '[',
    ']',
    '{',
    '{{',
    '}}',
  ],
  ...[
    '%(process_num)02d',
    '%(process_num)s',
    '%(program_name)s',
    '%(group_name)s',
    '%(here)s',
    '%(host_node_name)s',
    '%(ENV_HOME)s',
    '%(ENV_WORDS)s',
    '%(ENV_LOST)s',
  ],
  ...[
    '0',
    '1',
    '9',
    '-1',
    '0x',
    '077',
    '1_0',
    'MB',
    'true',
    'OFF',
    'auto',
    '~',
    '/',
    '\u00a0',
    '\u00e9',
    '\u{1f600}',
    '\u0085',
    '\ufeff',
    '\u0000',
  ],
  ...[
    'numprocs=2\n',
    'stopasgroup=true\n',
    '[program:x]\ncommand=cat\n',
    '[DEFAULT]\n',
    '[include]\nfiles=*\n',
    'environment=A="1",B=2\n',
    'process_name=p_%(process_num)d\n',
  ],
];

type Random = () => number;
const below = (random: Random, end: number): number => Math.floor(random() * end);

function damageLines(text: string, random: Random): string {
  const lines = text.split('\n');
  const from = below(random, lines.length);
  const line = lines[from] as string;
  const kind = below(random, 4);
  if (kind === 0) lines.splice(from, 1);
  else if (kind === 1) lines.splice(below(random, lines.length), 0, line);
  else if (kind === 2) lines[from] = ' '.repeat(1 + below(random, 3)) + line;
  else lines.splice(from, 1, lines[below(random, lines.length)] as string);
  return lines.join('\n');
}

/** `text` with one to four small changes: characters lost, put in or doubled, lines moved, doubled or indented. */
export function damage(text: string, random: Random): string {
  let out = text;
  for (let left = 1 + below(random, 4); left > 0; left--) {
    const at = below(random, out.length + 1);
    const kind = below(random, 5);
    if (kind === 0) out = out.slice(0, at) + out.slice(at + 1 + below(random, 3));
    else if (kind === 1) out = damageLines(out, random);
    else out = out.slice(0, at) + snippets[below(random, snippets.length)] + out.slice(at);
  }
  return out;
}
