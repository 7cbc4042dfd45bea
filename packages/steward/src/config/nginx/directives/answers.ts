/** Answers that need no program and no file: return, and rewrites that send the client elsewhere. */

import type { Given } from '../../draft.ts';
import type { Word } from '../parse.ts';
import { type Answer, badValue, type Call, type Context, type Entry, given, many } from '../scene.ts';
import { regexError } from '../values.ts';
import { hasOpenVariable } from '../variables.ts';

const places: readonly Context[] = ['server', 'location'];
const redirectCodes = new Set([301, 302, 303, 307, 308]);
const startsAddress = /^(https?:\/\/|\$scheme)/;

/** What a `return` answers (https://nginx.org/en/docs/http/ngx_http_rewrite_module.html#return), or undefined when it cannot be read. */
export function readReturn(call: Call): Given<Answer> | undefined {
  const [first, second] = call.args as [Word, Word?];
  if (hasOpenVariable((second ?? first).text)) {
    badValue(call, second ?? first, 'a text whose ${ is closed', 'Write ${name}.');
    return undefined;
  }
  if (second === undefined && startsAddress.test(first.text)) return given({ status: 302, redirect: first.text }, first);
  const status = /^\d{1,3}$/.test(first.text) ? Number(first.text) : undefined;
  if (status === undefined) {
    badValue(call, first, 'a status', 'Write return 301 https://...; or return 200 "text";');
    return undefined;
  }
  if (second !== undefined && redirectCodes.has(status)) return given({ status, redirect: second.text }, second);
  return given({ status, ...(second === undefined ? {} : { text: second.text }) }, second ?? first);
}

/** The first of several answers counts: nginx stops there. */
function readReturnHere(call: Call): void {
  const answer = readReturn(call);
  if (answer !== undefined) call.level.settings.answer ??= answer;
}

/** Patterns that match every path, and where their `$1` stands in the target. */
const wholePath: readonly { pattern: RegExp; path: RegExp }[] = [
  { pattern: /^(\^|\.\*|\^\.\*\$?|\/)$/, path: /\$request_uri\?$/ },
  { pattern: /^\^?\(\.\*\)\$?$/, path: /\$1$/ },
  { pattern: /^\^?\/\(\.\*\)\$?$/, path: /\/\$1$/ },
];

const flags: Readonly<Record<string, number>> = { permanent: 301, redirect: 302 };

/** The redirect of a `rewrite` that sends every path to the same path on another host, or undefined. */
function wholeHostRedirect(pattern: string, target: string, flag: string | undefined): Answer | undefined {
  const status = flag === undefined ? 302 : flags[flag];
  if (status === undefined || !startsAddress.test(target)) return undefined;
  const shape = wholePath.find((known) => known.pattern.test(pattern) && known.path.test(target));
  return shape === undefined ? undefined : { status, redirect: target.replace(shape.path, '$request_uri') };
}

function readRewrite(call: Call): void {
  const [pattern, target, flag] = call.args as [Word, Word, Word?];
  const { scene, level, directive } = call;
  if (flag !== undefined && !/^(last|break|redirect|permanent)$/.test(flag.text)) {
    badValue(call, flag, 'last, break, redirect or permanent', 'Put the pattern or the target in quotes when it holds spaces.');
    return;
  }
  const broken = regexError(pattern.text);
  if (broken !== undefined) {
    scene.error('config/nginx-value', `rewrite: "${pattern.text}" is not a regular expression: ${broken}`, pattern.at);
    return;
  }
  const answer = wholeHostRedirect(pattern.text, target.text, flag?.text);
  if (answer !== undefined) level.settings.answer ??= given(answer, target);
  else {
    const hint = 'Steward rewrites no paths: redirect them with return, or let proxy_pass replace the prefix.';
    scene.warning('config/nginx-not-taken-over', `rewrite "${pattern.text}" is not taken over`, directive.at, hint);
  }
}

export const answerEntries: readonly Entry[] = [
  { name: 'return', contexts: places, args: [1, 2], read: readReturnHere },
  { name: 'rewrite', contexts: places, args: [2, 3], read: readRewrite },
  {
    name: 'internal',
    contexts: ['location'],
    args: [0, 0],
    read: (call) => {
      call.level.settings.internal = call.directive.at;
    },
  },
  {
    name: 'error_page',
    contexts: ['http', 'server', 'location'],
    args: [2, many],
    read: ({ scene, directive }) =>
      scene.warning(
        'config/nginx-not-taken-over',
        'error_page is not taken over',
        directive.at,
        'Clients get the plain error, or what the program answers itself.',
      ),
  },
];
