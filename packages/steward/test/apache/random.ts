/** Files of Apache made by chance, and requests that go with them: lines that overlap, in any order. */
import { createRandom } from '../../src/config/mutate.ts';
import { get } from '../nginx/requests.ts';
import { host } from './hosts.ts';
import type { Case } from './run.ts';

const paths = ['/', '/a.txt', '/dir', '/dir/', '/dir/sub', '/dir/sub/', '/static', '/static/', '/x', '/x/', '/x/y', '/x/y/', '/x/y/z'];
const expressions = ['^/x/([a-z]+)', '\\.txt$', '^/dir/(.*)$', '/y', '^/static/[a-z]\\.txt$'];
const asked = ['', 'a.txt', 'b.txt', 'sub/c.txt', 'y', 'y/', 'y/z', 'y/z.txt', 'none', 'index.html'];

type Pick = <T>(list: readonly T[]) => T;

const lines: readonly ((pick: Pick, n: number) => string)[] = [
  (pick, n) => `ProxyPass ${slashed(pick(paths), `http://{{${pick(['a', 'b'])}}}/p${n}`)}`,
  (pick, n) => `ProxyPass ${slashed(pick(paths), `http://{{${pick(['a', 'b'])}}}/q${n}`)}`,
  (pick) => `ProxyPass ${pick(paths)} !`,
  (pick, n) => `ProxyPassMatch "${pick(expressions)}" http://{{a}}/m${n}/$1`,
  (pick, n) => `Redirect ${pick(['301', '302', '307'])} ${slashed(pick(paths.slice(1)), `http://elsewhere.example/r${n}`)}`,
  (pick, n) => `RedirectMatch "${pick(expressions)}" http://elsewhere.example/rm${n}/$1`,
  (pick) => `<Location ${pick(paths)}>\n  Require all ${pick(['denied', 'granted'])}\n</Location>`,
  (pick, n) => `<Location ${pick(paths)}>\n  Header always set X-In location${n}\n</Location>`,
  (pick, n) => `<Location ${pick(paths.slice(2))}>\n  ProxyPass http://{{b}}/l${n}\n</Location>`,
  (pick, n) => `<LocationMatch "${pick(expressions)}">\n  Header always set X-Match match${n}\n</LocationMatch>`,
  (pick) => `<LocationMatch "${pick(expressions)}">\n  Require all ${pick(['denied', 'granted'])}\n</LocationMatch>`,
  (pick) => `<Directory {{files}}${pick(['', '/dir', '/dir/sub', '/static'])}>\n  Require all ${pick(['denied', 'granted'])}\n</Directory>`,
  (pick, n) => `<Files "${pick(['a.txt', '*.txt', 'index.html'])}">\n  Header set X-File file${n}\n</Files>`,
  (pick, n) =>
    `RewriteRule ${pick(['^/x/y$', '^/dir/none$', '^/static/(none|y)$'])} ${pick([`/dir/b.txt [PT]`, `http://elsewhere.example/w${n} [R=301,L]`, '- [F]', '/static/a.txt [PT,L]'])}`,
];

/** Path and address end alike. */
const slashed = (path: string, url: string): string => `${path} ${url}${path.endsWith('/') ? '/' : ''}`;

/** `count` files with `requests` requests each; the same for the same seed. */
export function randomCases(seed: number, count: number, requests: number): readonly Case[] {
  const random = createRandom(seed);
  const pick: Pick = (list) => list[Math.floor(random() * list.length)] as (typeof list)[number];
  return Array.from({ length: count }, (_, n): Case => {
    const text = Array.from({ length: 3 + Math.floor(random() * 7) }, (__, line) => pick(lines)(pick, line)).join('\n');
    const targets = Array.from(
      { length: requests },
      () => `${pick(paths).replace(/\/?$/, '/')}${pick(asked)}`.replace(/^\/a\.txt\/.*/, '/a.txt') + pick(['', '', '?q=1']),
    );
    return {
      name: `random file ${seed}-${n}`,
      conf: host(`DocumentRoot {{files}}\nRewriteEngine On\n${text}`),
      requests: [...new Set([...targets, '/x', '/dir', '/static'])].map((target) => get(target)),
    };
  });
}
