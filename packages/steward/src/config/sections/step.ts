/** Steps of a site or a route: variables set, paths rewritten, answers given, by conditions (nginx's rewrite module). */
import { type Static, Type } from 'typebox';
import type { RouteWith } from './route.ts';
import { closed, listOf, refersTo, words } from './vocabulary.ts';

const testShape = closed(
  {
    value: Type.Optional(Type.String({ description: 'Text with variables. Alone: true unless empty or "0".' })),
    equals: Type.Optional(Type.String()),
    notEquals: Type.Optional(Type.String()),
    matches: Type.Optional(Type.String({ description: 'Regular expression; its groups become $1 to $9 and named variables.' })),
    matchesAnyCase: Type.Optional(Type.String()),
    notMatches: Type.Optional(Type.String()),
    notMatchesAnyCase: Type.Optional(Type.String()),
    file: Type.Optional(Type.String({ description: 'Path with variables, looked for on disk.' })),
    is: Type.Optional(words(['file', 'folder', 'any', 'executable'], 'What the path must be. Default: file.')),
    not: Type.Optional(Type.Boolean({ description: 'The path must not be that. Default: false.' })),
  },
  'value with one comparison, or file.',
);

const fields = {
  set: Type.Optional(Type.Record(Type.String(), Type.String(), { description: 'Variables (without $) and their new texts.' })),
  rewrite: Type.Optional(Type.String({ description: 'Regular expression on the path; with `to`.' })),
  anyCase: Type.Optional(Type.Boolean({ description: 'The letter case of `rewrite` counts for nothing. Default: false.' })),
  to: Type.Optional(
    Type.String({
      description: 'New path of `rewrite` (with ? and a query, the old query follows; a final ? drops it), or target of a redirect.',
    }),
  ),
  flag: Type.Optional(
    words(
      ['next', 'last', 'break', 'redirect', 'permanent'],
      'After `rewrite`: the next step, the search for a route again, no more steps, 302, 301. Default: next.',
    ),
  ),
  return: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 999, description: 'Answer with this status; with `to` or `body`. 444 hangs up.' }),
  ),
  body: Type.Optional(Type.String({ description: 'Text of `return`.' })),
  break: Type.Optional(Type.Literal(true, { description: 'No more steps.' })),
  if: Type.Optional(testShape),
};

export type StepSource = Static<ReturnType<typeof Type.Object<typeof fields>>> & {
  steps?: StepSource[];
  route?: RouteWith<StepSource>;
};

export type RouteSource = RouteWith<StepSource>;

export const stepShape = closed(
  {
    ...fields,
    steps: Type.Optional(listOf<StepSource>('step', 'Steps taken when `if` holds.')),
    route: Type.Optional(refersTo<RouteSource>('route', 'What answers instead of the route around it when `if` holds.')),
  },
  'One of set, rewrite, return, break, if.',
);

export type TestSource = Static<typeof testShape>;
