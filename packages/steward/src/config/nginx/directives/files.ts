/** Files and bodies: root, alias, index, try_files, default_type, client_max_body_size. */
import { isText, readSize } from '../arguments.ts';
import { anywhere, badValue, type Call, type Context, type Entry, firstArg, given, many, notTaken } from '../scene.ts';
import { hasVariable } from '../variables.ts';

const orIf: readonly Context[] = [...anywhere, 'if'];

function readFolder(mapping: 'root' | 'alias', call: Call): void {
  const word = firstArg(call);
  const { scene, level } = call;
  if (!isText(call, word)) return;
  if (!word.text.startsWith('/') && !hasVariable(word.text)) {
    const hint = `nginx takes it from its own folder (often /usr/share/nginx), Steward from ${scene.folder}. Write it with a leading /.`;
    scene.warning('config/nginx-value', `${mapping}: "${word.text}" is relative`, word.at, hint);
  }
  level.settings.files = given({ folder: word.text, mapping }, word);
}

function readIndex(call: Call): void {
  const names = call.args.filter((word) => word.text !== '' && isText(call, word));
  const { settings } = call.level;
  if (names.length > 0)
    settings.index = given([...(settings.index?.value ?? []), ...names.map((word) => word.text)], settings.index ?? firstArg(call));
}

function readMaxBody(call: Call): void {
  const bytes = readSize(call);
  if (bytes !== undefined) call.level.settings.maxBody = given(bytes, firstArg(call));
}

function readTryFiles(call: Call): void {
  if (call.args.every((word) => isText(call, word))) call.level.settings.tryFiles = given(call.args, call.directive);
}

/** https://nginx.org/en/docs/http/ngx_http_charset_module.html#charset */
function readCharset(call: Call): void {
  const word = firstArg(call);
  if (hasVariable(word.text)) notTaken(call, 'charset with a variable', word.at, 'Write its name.');
  else call.level.settings.charset = given(word.text === 'off' ? false : word.text.toLowerCase(), word);
}

function readModifiedSince(call: Call): void {
  const word = firstArg(call);
  const { text } = word;
  if (text === 'exact' || text === 'before' || text === 'off') call.level.settings.ifModifiedSince = given(text, word);
  else badValue(call, word, 'exact, before or off', 'Write exact, before or off.');
}

export const fileEntries: readonly Entry[] = [
  { name: 'root', contexts: orIf, args: [1, 1], once: 'root', read: (call) => readFolder('root', call) },
  { name: 'alias', contexts: ['location'], args: [1, 1], once: 'root', read: (call) => readFolder('alias', call) },
  { name: 'index', contexts: anywhere, args: [1, many], read: readIndex },
  { name: 'try_files', contexts: ['server', 'location'], args: [2, many], once: true, read: readTryFiles },
  {
    name: 'default_type',
    contexts: anywhere,
    args: [1, 1],
    once: true,
    read: (call) => {
      call.level.settings.defaultType = given(firstArg(call).text, firstArg(call));
    },
  },
  { name: 'charset', contexts: orIf, args: [1, 1], once: true, read: readCharset },
  { name: 'if_modified_since', contexts: anywhere, args: [1, 1], once: true, read: readModifiedSince },
  { name: 'client_max_body_size', contexts: anywhere, args: [1, 1], once: true, read: readMaxBody },
];
