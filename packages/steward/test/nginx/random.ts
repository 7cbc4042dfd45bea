/** Files and paths made by chance from a seed: which location answers, what a rewrite makes of a path, what an upstream is asked for. */
import { createRandom } from '../../src/config/mutate.ts';
import { type Case, gets, server } from './requests.ts';

const parts = ['a', 'b', 'a', 'b', 'ab', 'img', 'x.png', 'y.php', 'A', '22'];
const odd = ['%20', '%2F', '%61', '//', '/./', '/../', '+', '%3F', '%25', '%C3%BC', ';', "'", '~', '.'];
const regexes = [
  '\\.png$',
  '\\.php$',
  '^/a',
  '^/(a|b)/',
  '/b/',
  '^/([a-z]+)/(.*)$',
  '\\d+',
  '^/A',
  '(?i)^/IMG',
  '^/.*b$',
  '/$',
  '^/[^/]+$',
];

type Random = () => number;

const pick = <T>(random: Random, list: readonly [T, ...T[]] | readonly T[]): T => list[Math.floor(random() * list.length)] as T;

const pathOf = (random: Random, most: number): string =>
  `/${Array.from({ length: 1 + Math.floor(random() * most) }, () => pick(random, parts)).join('/')}${random() < 0.4 ? '/' : ''}`;

const say = (n: number): string => `return 200 "${n}|$uri|$args|$1|$2\\n";`;

function content(random: Random, n: number, isRegex: boolean, path: string): string {
  const kind = Math.floor(random() * 8);
  if (kind === 0) return `proxy_pass http://{{a}};`;
  if (kind === 1) return isRegex ? 'proxy_pass http://{{b}};' : `proxy_pass http://{{b}}${random() < 0.3 ? '/' : pathOf(random, 2)};`;
  if (kind === 2)
    return `rewrite ${pick(random, ['^/([^/]*)/?(.*)$', '^(.*)b(.*)$', '/a', '^/([a-z])'])} ${pick(random, ['/$2/$1', '/z$1', '/b/$1?r=1', '/c/$1?', '/q'])} break; proxy_pass http://{{a}}${isRegex || random() < 0.5 ? '' : '/base/'};`;
  if (kind === 3) return `rewrite ${pick(random, ['^/a/?(.*)$', '^/(.*)/(.*)$'])} /last/$1 last; ${say(n)}`;
  if (kind === 4) return `if ($uri ~ b) { return 200 "${n} if|$uri\\n"; } ${say(n)}`;
  if (kind === 5) return `return 302 ${path}to/$1$is_args$args;`;
  return say(n);
}

function nested(random: Random, path: string, n: number): string {
  if (random() > 0.25) return '';
  return random() < 0.5
    ? `location ${path}${path.endsWith('/') ? '' : '/'}${pick(random, parts)} { ${say(n + 100)} }`
    : `location ~ ${pick(random, regexes)} { ${say(n + 100)} }`;
}

function confOf(random: Random): string {
  const taken = new Set<string>();
  const locations = Array.from({ length: 2 + Math.floor(random() * 7) }, (_, n) => {
    if (random() < 0.35) return `location ${pick(random, ['~', '~*'])} ${pick(random, regexes)} { ${content(random, n, true, '/')} }`;
    const path = random() < 0.15 ? '/' : pathOf(random, 3);
    const sign = pick(random, ['', '', '', '=', '^~']);
    const key = sign === '=' ? `=${path}` : path;
    if (taken.has(key)) return '';
    taken.add(key);
    const inner = sign === '=' ? '' : nested(random, path, n);
    return `location ${sign} ${path} { ${inner} ${content(random, n, false, path)} }`;
  });
  const first = random() < 0.2 ? 'rewrite ^/(b+)/(.*)$ /a/$2; ' : random() < 0.2 ? 'if ($arg_go) { rewrite ^ /img/$arg_go? last; } ' : '';
  return server(
    `types { } ${first}${locations.filter((text) => text !== '').join('\n  ')}\n  location /last/ { return 200 "last|$uri|$args\\n"; }`,
  );
}

function requestPath(random: Random): string {
  const path = pathOf(random, 4);
  const at = 1 + Math.floor(random() * path.length);
  const strange = random() < 0.35 ? path.slice(0, at) + pick(random, odd) + path.slice(at) : path;
  return strange + (random() < 0.25 ? pick(random, ['?', '?x=1', '?go=7', '?a=b&c=%20d', '?a/../b']) : '');
}

/** `count` files with `each` requests. */
export function randomCases(seed: number, count: number, each: number): readonly Case[] {
  return Array.from({ length: count }, (_, n) => {
    const random = createRandom(seed + n);
    return {
      name: `random file ${seed + n}`,
      conf: confOf(random),
      requests: gets(...Array.from({ length: each }, () => requestPath(random))),
    };
  });
}
