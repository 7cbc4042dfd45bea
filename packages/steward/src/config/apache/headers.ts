/**
 * Header and RequestHeader as headers of a route (https://httpd.apache.org/docs/2.4/mod/mod_headers.html). Apache keeps two lists
 * for an answer: what the handler gave, which `Header` changes, and one that `Header always` changes and errors carry too.
 */
import type { RouteSource } from '../sections/site.ts';
import { escapeRegex } from './matchers.ts';
import type { HeaderLine, Scene } from './scene.ts';
import { headerVariable } from './values.ts';

interface Added {
  readonly name: string;
  readonly value: string;
  readonly at: HeaderLine['at'];
}

interface Kept {
  added: Added[];
  /** Lowercase names whose first value is gone. */
  readonly hidden: Set<string>;
}

/** A variable made from `from`, one for each way to make it. */
export function mappedVariable(
  scene: Scene,
  from: string,
  cases: Readonly<Record<string, string>>,
  otherwise: string,
  kind = 'header',
): string {
  const wanted = { from, cases: { ...cases }, default: otherwise };
  const known = Object.entries(scene.variables).find(([, entry]) => JSON.stringify(entry) === JSON.stringify(wanted));
  const name = known?.[0] ?? `apache_${kind}_${Object.keys(scene.variables).length + 1}`;
  scene.variables[name] = wanted;
  return `$\{${name}}`;
}

/** `line` done to a list whose header has the value of `before` (a variable), or none. */
function change(kept: Kept, line: HeaderLine, before: string | undefined, scene: Scene): void {
  const { action, name, value, at } = line;
  const lower = name.toLowerCase();
  const mine = kept.added.filter((added) => added.name.toLowerCase() === lower);
  const without = kept.added.filter((added) => added.name.toLowerCase() !== lower);
  const sent = before === undefined || kept.hidden.has(lower) ? undefined : before;
  const replace = (text: string): void => {
    kept.added = [...without, { name, value: text, at }];
    kept.hidden.add(lower);
  };
  if (action === 'set') return replace(value);
  if (action === 'add') {
    kept.added.push({ name, value, at });
    return;
  }
  if (action === 'unset') {
    kept.added = without;
    kept.hidden.add(lower);
    return;
  }
  const [last] = mine.slice(-1);
  if (action === 'setifempty') {
    if (last === undefined && sent === undefined) kept.added.push({ name, value, at });
    else if (last === undefined && sent !== undefined) kept.added.push({ name, value: mappedVariable(scene, sent, { '': value }, ''), at });
    return;
  }
  if (last !== undefined) {
    const has = last.value.split(/,\s*/).includes(value);
    if (action === 'append' || !has) replace(`${last.value}, ${value}`);
  } else if (sent === undefined) kept.added.push({ name, value, at });
  else {
    const there = action === 'merge' ? { [`~(^|,\\s*)${escapeRegex(value)}(\\s*,|$)`]: sent } : {};
    replace(mappedVariable(scene, sent, { '': value, ...there }, `${sent}, ${value}`));
  }
}

const listOf = (added: readonly Added[], scene: Scene, always: boolean) =>
  added.map(({ name, value, at }) => {
    const header = { name, value, ...(always ? {} : { always }) };
    scene.draft.place(header, undefined, at);
    return header;
  });

/** Headers that Steward itself gives with files, and that `addHeaders` would only repeat. */
const ofFiles = new Set(['content-type', 'content-length', 'last-modified', 'etag', 'accept-ranges', 'date']);

/** Headers of answers: of a program (`proxy`), of files, or of Apache itself (`own`), which only `Header always` touches. */
export function answerHeaders(
  lines: readonly HeaderLine[],
  kind: 'proxy' | 'files' | 'own',
  scene: Scene,
): Pick<RouteSource, 'addHeaders' | 'hideHeaders'> {
  const passed: Kept = { added: [], hidden: new Set() };
  const always: Kept = { added: [], hidden: new Set() };
  for (const line of lines) {
    const before = `$\{upstream_http_${line.name.toLowerCase().replace(/[^a-z0-9]/g, '_')}}`;
    if (line.always) change(always, line, undefined, scene);
    else if (kind === 'files' && ofFiles.has(line.name.toLowerCase())) {
      const hint = 'Steward gives files this header itself.';
      scene.warning('config/apache-not-taken-over', `Header ${line.action} ${line.name} is not taken over for files`, line.at, hint);
    } else if (kind !== 'own') change(passed, line, kind === 'proxy' ? before : undefined, scene);
  }
  const added = [...listOf(passed.added, scene, kind === 'proxy'), ...listOf(always.added, scene, true)];
  return {
    ...(added.length > 0 ? { addHeaders: added } : {}),
    ...(kind === 'proxy' && passed.hidden.size > 0 ? { hideHeaders: [...passed.hidden] } : {}),
  };
}

/** Headers of requests that are handed on. */
export function requestHeaders(lines: readonly HeaderLine[], scene: Scene): RouteSource['setHeaders'] {
  const kept: Kept = { added: [], hidden: new Set() };
  for (const line of lines) change(kept, line, headerVariable(line.name), scene);
  const touched = new Set([...kept.added.map(({ name }) => name.toLowerCase()), ...kept.hidden]);
  if (touched.size === 0) return undefined;
  const placed = (header: { name: string; value: string }, at: HeaderLine['at']) => {
    scene.draft.place(header, undefined, at);
    return header;
  };
  const headers = [...touched].flatMap((lower) => {
    const mine = kept.added.filter(({ name }) => name.toLowerCase() === lower);
    const name = mine[0]?.name ?? lines.find((line) => line.name.toLowerCase() === lower)?.name ?? lower;
    // `add` and `setifempty` leave in place what the client sent.
    const sent = kept.hidden.has(lower) ? [] : [{ name, value: headerVariable(name) }];
    const gone = mine.length === 0 ? [{ name, value: '' }] : [];
    return [...sent, ...gone, ...mine.map((added) => placed({ name: added.name, value: added.value }, added.at))];
  });
  return headers;
}
