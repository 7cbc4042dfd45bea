/**
 * Rewrite rules as steps. Apache asks a rule's pattern first, then its conditions; `$1` are groups of the pattern, `%1` those of the
 * last condition that fitted, so both are kept in variables. Outside of sections a rule that is no redirect leads to a file of
 * DocumentRoot, past ProxyPass and Alias, unless it has [PT]: what would otherwise be handed on goes a way of its own.
 */
import type { StepSource, TestSource } from '../sections/step.ts';
import { parseTarget } from './directives/proxy.ts';
import { behind } from './matchers.ts';
import type { ProxyTarget, RewriteRule, RewriteTest, Scene } from './scene.ts';

/** Where a rule leads that no route of the site would lead to. */
export type Way =
  | { readonly name: string; readonly kind: 'proxy'; readonly target: ProxyTarget; readonly rule: RewriteRule }
  /** A file below DocumentRoot; `whole`: a path on disk. */
  | { readonly name: string; readonly kind: 'files'; readonly path: string; readonly whole: boolean; readonly rule: RewriteRule };

export interface RuleContext {
  readonly scene: Scene;
  readonly root: string | undefined;
  /** Undefined outside of sections, where patterns are asked of the whole path. */
  readonly directory?: { readonly front: string; readonly base: string };
  readonly ways: Way[];
  /** Whether requests for a path of this beginning would not be answered from a folder. */
  isElsewhere(path: string): boolean;
}

/** `$1` and `%1` by the variables that keep them. */
const kept = (text: string): string => text.replace(/\$(\d)/g, '${apache_r$1}').replace(/(?<!\$)%(\d)/g, '${apache_c$1}');

const groupsIn = (text: string, sign: '$' | '%'): string[] =>
  [...text.matchAll(sign === '$' ? /\$(\d)/g : /%(\d)/g)].flatMap(([, digit]) => digit ?? []);

function keep(letter: 'r' | 'c', digits: readonly string[]): StepSource[] {
  const numbers = [...new Set(digits)].filter((digit) => digit !== '0').sort();
  return numbers.length === 0 ? [] : [{ set: Object.fromEntries(numbers.map((digit) => [`apache_${letter}${digit}`, `$${digit}`])) }];
}

/** `$0` is all that fitted. */
const whole = (text: string): string => text.replace(/\$0/g, '${uri}');

function fileText(text: string, { root, directory }: RuleContext): string {
  const named = directory === undefined ? text.replaceAll('${request_filename}', '${uri}') : text;
  return root === undefined ? named : named.replaceAll('${document_root}', root.replace(/\/+$/, ''));
}

function testSource(test: RewriteTest, context: RuleContext): TestSource {
  if (test.kind === 'file')
    return {
      file: kept(whole(fileText(test.path, context))),
      ...(test.is === 'file' ? {} : { is: test.is }),
      ...(test.not ? { not: true } : {}),
    };
  const value = kept(whole(fileText(test.left, context)));
  if (test.kind === 'equals') return { value, [test.not ? 'notEquals' : 'equals']: test.right };
  const key = test.not ? (test.anyCase ? 'notMatchesAnyCase' : 'notMatches') : test.anyCase ? 'matchesAnyCase' : 'matches';
  return { value, [key]: test.pattern };
}

/** `body` taken when all conditions hold; those before an [OR] share one variable. */
function underTests(tests: readonly RewriteTest[], body: StepSource[], groups: readonly string[], context: RuleContext): StepSource[] {
  const sets: RewriteTest[][] = [];
  let open: RewriteTest[] = [];
  for (const test of tests) {
    open.push(test);
    if (!test.or) {
      sets.push(open);
      open = [];
    }
  }
  if (open.length > 0) sets.push(open);
  const keeping = (test: RewriteTest): StepSource[] => (test.kind === 'matches' && !test.not ? keep('c', groups) : []);
  return sets.reduceRight((inner, set): StepSource[] => {
    const [only] = set;
    if (only !== undefined && set.length === 1) return [{ if: testSource(only, context), steps: keeping(only).concat(inner) }];
    return [
      { set: { apache_or: '' } },
      ...set.map((test): StepSource => ({ if: testSource(test, context), steps: [...keeping(test), { set: { apache_or: '1' } }] })),
      { if: { value: '$apache_or', equals: '1' }, steps: inner },
    ];
  }, body);
}

const words: Readonly<Record<string, number>> = { permanent: 301, temp: 302, seeother: 303 };

function redirectStatus(flag: string | undefined): number {
  if (flag === undefined || flag === '') return 302;
  return Object.hasOwn(words, flag) ? (words[flag] ?? 302) : Number(flag) || 302;
}

/** A redirect with the query that Apache gives it. */
function redirectSteps(status: number, target: string, { flags }: RewriteRule): StepSource[] {
  const mark = target.indexOf('?');
  if (mark < 0) return [{ return: status, to: flags.has('QSD') ? target : `${target}$is_args$args` }];
  if (mark === target.length - 1) return [{ return: status, to: target.slice(0, -1) }];
  const plain: StepSource = { return: status, to: target };
  return flags.has('QSA')
    ? [{ if: { value: '$args', notEquals: '' }, steps: [{ return: status, to: `${target}&$args` }] }, plain]
    : [plain];
}

/** The new path and query as a rewrite has them: a final ? drops the query that was. */
function rewriteTo(path: string, { flags }: RewriteRule): string {
  const mark = path.indexOf('?');
  if (mark < 0) return flags.has('QSD') ? `${path}?` : path;
  return flags.has('QSA') || path.endsWith('?') ? path : `${path}?`;
}

function wayTo(way: Way, path: string, context: RuleContext): StepSource[] {
  context.ways.push(way);
  const mark = path.indexOf('?');
  const query: StepSource[] =
    mark < 0 ? [] : [{ set: { args: way.rule.flags.has('QSA') ? `${path.slice(mark + 1)}&$args` : path.slice(mark + 1) } }];
  return [{ set: { apache_way: way.name, apache_to: mark < 0 ? path : path.slice(0, mark) } }, ...query, { break: true }];
}

function proxySteps(rule: RewriteRule, context: RuleContext): StepSource[] {
  const target = parseTarget(rule.to);
  if (target === undefined) {
    const hint = 'Write [P] with a fixed host, such as http://127.0.0.1:3000/$1.';
    context.scene.warning(
      'config/apache-not-taken-over',
      `RewriteRule to "${rule.to}" is not taken over; the rule is left out`,
      rule.at,
      hint,
    );
    return [];
  }
  const path = kept(whole(target.path === '' ? '/' : target.path));
  return wayTo(
    { name: `proxy_${context.ways.length + 1}`, kind: 'proxy', target, rule },
    path.startsWith('/') ? path : `/${path}`.replace('/${apache_', '${apache_'),
    context,
  );
}

function pathSteps(rule: RewriteRule, context: RuleContext): StepSource[] {
  const { directory, root } = context;
  const text = whole(fileText(rule.to, context));
  const path = text.startsWith('/') || /^\$\d|^\$\{/.test(text) ? text : `${directory?.base ?? '/'}${text}`;
  const front = path.replace(/[$%?].*$/, '');
  const onDisk = root !== undefined && front.startsWith(`${root.replace(/\/+$/, '')}/`);
  if (directory === undefined && !rule.flags.has('PT') && (onDisk || context.isElsewhere(front))) {
    return wayTo({ name: `files_${context.ways.length + 1}`, kind: 'files', path: front, whole: onDisk, rule }, kept(path), context);
  }
  const ends = rule.flags.has('L') || rule.flags.has('END') || rule.flags.has('PT');
  if (directory === undefined) return [{ rewrite: '^', to: rewriteTo(kept(path), rule), ...(ends ? { flag: 'last' } : {}) }];
  const step: StepSource = { rewrite: '^', to: rewriteTo(kept(path), rule), ...(ends ? { flag: 'last' } : {}) };
  // Apache stops when a path stays what it is; else it would be searched for again and again.
  return [{ if: { value: '$uri', notEquals: kept(path.replace(/\?.*$/, '')) }, steps: [step] }];
}

function actionOf(rule: RewriteRule, context: RuleContext): StepSource[] {
  const { flags, to } = rule;
  if (flags.has('F')) return [{ return: 403 }];
  if (flags.has('G')) return [{ return: 410 }];
  const status = redirectStatus(flags.get('R'));
  const isAddress = /^https?:\/\//i.test(to);
  if (flags.has('R') && (status < 300 || status > 399)) return [{ return: status }];
  if (flags.has('P')) return proxySteps(rule, context);
  if (to === '-') return flags.has('L') || flags.has('END') ? [{ break: true }] : [];
  if (!flags.has('R') && !isAddress) return pathSteps(rule, context);
  const target = whole(fileText(to, context));
  const isPlace = isAddress || target.startsWith('/') || /^\$/.test(target);
  return redirectSteps(status, kept(isPlace ? target : `${context.directory?.base ?? '/'}${target}`), rule);
}

/** The steps of one set of rules, in their turn. */
export function stepsOfRules(rules: readonly RewriteRule[], context: RuleContext): StepSource[] {
  return rules.flatMap((rule): StepSource[] => {
    const all = [rule.to, ...rule.tests.map((test) => (test.kind === 'file' ? test.path : test.left))].join(' ');
    const body = actionOf(rule, context);
    if (body.length === 0) return [];
    const pattern = context.directory === undefined ? rule.pattern : behind(context.directory.front, rule.pattern);
    const key = rule.not ? (rule.anyCase ? 'notMatchesAnyCase' : 'notMatches') : rule.anyCase ? 'matchesAnyCase' : 'matches';
    const inner = underTests(rule.tests, body, groupsIn(all, '%'), context);
    const step: StepSource = {
      if: { value: '$uri', [key]: pattern },
      steps: [...(rule.not ? [] : keep('r', groupsIn(all, '$'))), ...inner],
    };
    context.scene.draft.place(step, undefined, rule.at);
    return [step];
  });
}
