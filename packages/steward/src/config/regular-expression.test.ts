import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRandom, mutate } from './mutate.ts';
import { compileRegex, groupNames, regexMistake, regexSource } from './regular-expression.ts';

/** Expression, a text it fits, a text it does not. */
const dialect: readonly (readonly [string, string, string])[] = [
  ['^/a', '/ab', '/ba'],
  ['(?P<year>\\d{4})', '2026', 'year'],
  ["^(?'name'a)\\k{name}$", 'aa', 'a'],
  ['^(?P<x>a)(?P=x)$', 'aa', 'ab'],
  ['(?i)^abc$', 'ABC', 'abd'],
  ['^a(?i)bc$', 'aBC', 'ABC'],
  ['^(?:a(?i)b)c$', 'aBc', 'aBC'],
  ['^(?:a(?i)b|c)d$', 'Cd', 'CD'],
  ['^a(?i:b)c$', 'aBc', 'abC'],
  ['^(?-i:a)b$', 'ab', 'Ab'],
  ['\\Aa\\z', 'a', 'a\n'],
  ['\\Aa\\Z', 'a\n', 'a\n\n'],
  ['a$', 'a\n', 'a\nb'],
  ['^a.b$', 'a\rb', 'a\nb'],
  ['(?s)^a.b$', 'a\nb', 'ab'],
  ['(*UTF8)(?x)^a b # end\n[ ]\\ $', 'ab  ', 'ab'],
  ['(?m)^b$', 'a\nb', 'ab'],
  ['^a++b$', 'aab', 'b'],
  ['^[ab]*+c$', 'abc', 'abd'],
  ['^a{2,}+b$', 'aab', 'ab'],
  ['^(?>a|ab)c$', 'ac', 'bc'],
  ['^[[:alpha:]_]+$', 'ab_', 'ab1'],
  ['^[]a]+$', ']a', 'b'],
  ['^[^]a]$', 'b', ']'],
  ['^[a\\]]$', ']', 'b'],
  ['^a\\h+b$', 'a\t b', 'a\nb'],
  ['^\\Qa.b\\E$', 'a.b', 'axb'],
  ['^a(?#any)b$', 'ab', 'aanyb'],
  ['^(a)\\g{1}$', 'aa', 'ab'],
  ['^\\x{41}$', 'A', 'B'],
  ['\\.(?!php)\\w+$', 'a.html', 'a.php'],
  ['(?<!a)b', 'cb', 'ab'],
  ['^a{b$', 'a{b', 'ab'],
  ['^\\/x\\-y$', '/x-y', '/xy'],
];

test('what is written in PCRE’s notation fits the same texts', () => {
  for (const [pattern, fits, not] of dialect) {
    assert.equal(regexMistake(pattern), undefined, pattern);
    const regex = compileRegex(pattern, false);
    assert.ok(regex.test(fits), `${pattern} → ${regex} fits ${fits}`);
    assert.ok(!regex.test(not), `${pattern} → ${regex} does not fit ${not}`);
  }
});

test('any letter case, by word or by (?i)', () => {
  assert.deepEqual(regexSource('a', true), { source: 'a', flags: 'i' });
  assert.deepEqual(regexSource('(?is)a.', true), { source: 'a.', flags: 'is' });
  assert.ok(compileRegex('^\\.PHP$', true).test('.php'));
});

test('groups keep their numbers and names', () => {
  const match = compileRegex('^/(?P<user>\\w+)/(?:x)/(?>(\\d+))(?<rest>.*)$', false).exec('/ann/x/12/more');
  assert.deepEqual([...(match ?? [])], ['/ann/x/12/more', 'ann', '12', '/more']);
  assert.deepEqual({ ...match?.groups }, { user: 'ann', rest: '/more' });
  assert.deepEqual(groupNames("^(?P<a>x)(?<b>y)(?'c'z)(?<!n)\\(?<d>[(?<e>]"), ['a', 'b', 'c']);
});

test('what JavaScript cannot do, or what is no expression, is told', () => {
  const mistakes: readonly (readonly [string, string])[] = [
    ['(', 'Unterminated group'],
    [')', "Unmatched ')'"],
    ['[a', 'a [ is not closed'],
    ['*', 'Nothing to repeat'],
    ['\\p{L}', '\\p of PCRE is not available'],
    ['a\\Kb', '\\K of PCRE is not available'],
    ['(?R)', '"(?R)" of PCRE is not available'],
    ['(a)(?1)', '"(?1" of PCRE is not available'],
    ['(?|a|b)', '"(?|" of PCRE is not available'],
    ['a(?x)b', '"(?x)" of PCRE is not available'],
    ['[[:nope:]]', '[:nope:] of PCRE is not available'],
  ];
  for (const [pattern, mistake] of mistakes) assert.equal(regexMistake(pattern), mistake, pattern);
  assert.throws(() => compileRegex('\\p{L}', false), SyntaxError);
});

test('no text makes the translation throw, and what has no mistake compiles', () => {
  const random = createRandom(7);
  const pieces = ['(', ')', '[', ']', '(?', '(?i)', '(?<', '\\', '|', '+', '{1,', '^', '$', '[:alpha:]', '\\Q', '(?#', '\\x{'];
  for (let n = 0; n < 4000; n++) {
    const pattern = mutate((dialect[n % dialect.length] as readonly string[])[0] as string, random, pieces);
    groupNames(pattern);
    if (regexMistake(pattern) === undefined) compileRegex(pattern, n % 2 === 0).test('abc');
  }
});
