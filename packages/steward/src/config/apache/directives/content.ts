/** Files, redirects, headers and limits. */
import { STATUS_CODES } from 'node:http';
import type { Word } from '../lex.ts';
import { badValue, type Call, type Entry, firstArg, given, type HeaderLine, many } from '../scene.ts';
import { filePath } from './host.ts';

const redirectWords: Readonly<Record<string, number>> = { permanent: 301, temp: 302, seeother: 303, gone: 410 };

const statusOf = (text: string): number | undefined => {
  if (/^\d{3}$/.test(text)) return STATUS_CODES[text] === undefined ? undefined : Number(text);
  return Object.hasOwn(redirectWords, text.toLowerCase()) ? redirectWords[text.toLowerCase()] : undefined;
};

const goesElsewhere = (status: number): boolean => status >= 300 && status <= 399;

/** `Redirect [status] path [url]` (https://httpd.apache.org/docs/2.4/mod/mod_alias.html#redirect). */
function addRedirect(call: Call, status: number, path: Word, to: Word | undefined): void {
  const { scene, directive } = call;
  if (!path.text.startsWith('/')) badValue(call, path, 'a path', 'It starts with /.');
  else if (goesElsewhere(status) !== (to !== undefined)) {
    const message = to === undefined ? 'has no address to go to' : `answers ${status} and goes nowhere, so it takes no address`;
    scene.error(
      'config/apache-arguments',
      `${directive.name} ${path.text} ${message}`,
      directive.at,
      'Write Redirect permanent /old https://example.com/new',
    );
  } else
    call.server.settings.redirects.push({ path: path.text, status, ...(to === undefined ? {} : { to: to.text }), at: (to ?? path).at });
}

function readRedirect(call: Call): void {
  const [first, second, third] = call.args as [Word, Word, Word?];
  const status = statusOf(first.text);
  if (status !== undefined) addRedirect(call, status, second, third);
  else if (third !== undefined) badValue(call, first, 'a status', 'Use permanent, temp, seeother, gone or a number.');
  else addRedirect(call, 302, first, second);
}

const variableOf: Readonly<Record<string, string>> = {
  REMOTE_ADDR: '$remote_addr',
  REQUEST_SCHEME: '$scheme',
  HTTP_HOST: '$http_host',
  SERVER_PORT: '$server_port',
  SERVER_NAME: '$server_name',
  REQUEST_METHOD: '$request_method',
  QUERY_STRING: '$args',
  REQUEST_URI: '$uri',
};

/** A header's value in Steward's variables, or undefined when it holds something Steward does not know. */
function headerValue(text: string, kind: 'request' | 'answer'): string | undefined {
  if (/\$[\w{]/.test(text)) return undefined;
  let known = true;
  const plain = text.replace(/^expr=/, '').replaceAll(/%(%|\{(\w+)\}[se]?|.)/g, (_, what: string, name: string | undefined) => {
    if (what === '%') return '%';
    const variable = name !== undefined && kind === 'request' && Object.hasOwn(variableOf, name) ? variableOf[name] : undefined;
    known &&= variable !== undefined;
    return variable ?? '';
  });
  return known && !/[\r\n\0]/.test(plain) ? plain : undefined;
}

function leaveHeaderOut(call: Call, action: Word): void {
  const { scene, directive, args } = call;
  const shown = args.map((word) => word.text).join(' ');
  const hint = 'Steward sets a header to a text, and removes request headers: do the rest in the program.';
  scene.warning('config/apache-not-taken-over', `${directive.name} ${shown} is not taken over`, action.at, hint);
}

function readHeader(kind: 'request' | 'answer', call: Call): void {
  // `always`, `onsuccess` and `early` say when Apache does it; Steward does it for every answer and request.
  const words = call.args.filter(
    (word, at) =>
      !(at === 0 && /^(always|onsuccess)$/i.test(word.text)) && !(at > 1 && at === call.args.length - 1 && word.text === 'early'),
  );
  const [action, name, value, ...more] = words as [Word?, Word?, Word?, ...Word[]];
  const list: HeaderLine[] = kind === 'request' ? call.server.settings.requestHeaders : call.server.settings.answerHeaders;
  if (action === undefined || name === undefined) {
    call.scene.error(
      'config/apache-arguments',
      `${call.directive.name} names no header`,
      call.directive.at,
      `Write ${call.directive.name} set NAME "value".`,
    );
    return;
  }
  const header = name.text.replace(/:$/, '');
  const isKnown = /^[\w!#$%&'*+.^`|~-]+$/.test(header) && more.length === 0;
  const text = value === undefined ? undefined : headerValue(value.text, kind);
  if (isKnown && /^set$/i.test(action.text) && value !== undefined && text !== undefined)
    list.push({ name: header, value: text, at: value.at });
  else if (isKnown && /^unset$/i.test(action.text) && value === undefined && kind === 'request')
    list.push({ name: header, value: '', at: name.at });
  else leaveHeaderOut(call, action);
}

function readLimit(call: Call): void {
  const word = firstArg(call);
  if (/^\d{1,15}$/.test(word.text)) call.server.settings.maxBody = given(Number(word.text), word);
  else badValue(call, word, 'a number of bytes', 'Write bytes, such as 104857600; 0 sets no limit.');
}

function readRoot(call: Call): void {
  const word = firstArg(call);
  call.server.settings.root = given(filePath(call, word), word);
}

/** `disabled` alone serves no index, which Steward has no word for. */
function readIndex(call: Call): void {
  const names = call.args.filter((word) => {
    const isPlain = !word.text.startsWith('/') && word.text !== 'disabled' && word.text !== '';
    if (!isPlain)
      call.scene.warning(
        'config/apache-not-taken-over',
        `DirectoryIndex "${word.text}" is not taken over`,
        word.at,
        'Write plain names of files.',
      );
    return isPlain;
  });
  const { settings } = call.server;
  if (names.length > 0)
    settings.index = given([...(settings.index?.value ?? []), ...names.map((word) => word.text)], settings.index ?? (names[0] as Word));
}

function readFallback(call: Call): void {
  const word = firstArg(call);
  if (word.text === 'disabled') delete call.server.settings.fallback;
  else if (word.text.startsWith('/')) call.server.settings.fallback = given(word.text, word);
  else badValue(call, word, 'a path', 'It starts with /, such as /index.html.');
}

export const contentEntries: readonly Entry[] = [
  { name: 'DocumentRoot', args: [1, 1], read: readRoot },
  { name: 'DirectoryIndex', args: [1, many], read: readIndex },
  { name: 'FallbackResource', args: [1, 1], read: readFallback },
  { name: 'LimitRequestBody', args: [1, 1], read: readLimit },
  { name: 'Redirect', args: [2, 3], read: readRedirect },
  { name: 'RedirectPermanent', args: [2, 2], read: (call) => addRedirect(call, 301, firstArg(call), call.args[1]) },
  { name: 'RedirectTemp', args: [2, 2], read: (call) => addRedirect(call, 302, firstArg(call), call.args[1]) },
  { name: 'Header', args: [2, many], read: (call) => readHeader('answer', call) },
  { name: 'RequestHeader', args: [2, many], read: (call) => readHeader('request', call) },
];
