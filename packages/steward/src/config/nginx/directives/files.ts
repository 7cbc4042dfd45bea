/** Files and limits: root, alias, index, try_files, client_max_body_size, allow, deny. */
import { badValue, type Call, type Context, type Entry, firstArg, given, many } from '../scene.ts';
import { parseBytes } from '../values.ts';
import { hasVariable } from '../variables.ts';

const anywhere: readonly Context[] = ['http', 'server', 'location'];

function readFolder(mapping: 'root' | 'alias', call: Call): void {
  const word = firstArg(call);
  const { scene, level } = call;
  if (!word.text.startsWith('/') && !hasVariable(word.text)) {
    const hint = `nginx takes it from its own folder (often /usr/share/nginx), Steward from ${scene.folder}. Write it with a leading /.`;
    scene.warning('config/nginx-value', `${mapping}: "${word.text}" is relative`, word.at, hint);
  }
  level.settings.files = given({ folder: word.text, mapping }, word);
}

function readIndex(call: Call): void {
  const names = call.args.filter((word) => {
    const usable = word.text !== '' && !hasVariable(word.text) && !word.text.startsWith('/');
    if (!usable)
      call.scene.warning(
        'config/nginx-not-taken-over',
        `index: "${word.text}" is not taken over`,
        word.at,
        'Write the plain name of a file.',
      );
    return usable;
  });
  const { settings } = call.level;
  if (names.length > 0)
    settings.index = given([...(settings.index?.value ?? []), ...names.map((word) => word.text)], settings.index ?? firstArg(call));
}

function readMaxBody(call: Call): void {
  const word = firstArg(call);
  const bytes = parseBytes(word.text);
  if (bytes === undefined) badValue(call, word, 'a size', 'Write a number with k, m or g, such as 50m; 0 sets no limit.');
  else call.level.settings.maxBody = given(bytes, word);
}

function readAccess(verb: 'allow' | 'deny', call: Call): void {
  const word = firstArg(call);
  call.level.settings.access.push({ verb, who: word.text, at: word.at });
}

export const fileEntries: readonly Entry[] = [
  { name: 'root', contexts: anywhere, args: [1, 1], once: 'root', read: (call) => readFolder('root', call) },
  { name: 'alias', contexts: ['location'], args: [1, 1], once: 'root', read: (call) => readFolder('alias', call) },
  { name: 'index', contexts: anywhere, args: [1, many], read: readIndex },
  {
    name: 'try_files',
    contexts: ['server', 'location'],
    args: [2, many],
    once: true,
    read: (call) => {
      call.level.settings.tryFiles = given(call.args, call.directive);
    },
  },
  { name: 'client_max_body_size', contexts: anywhere, args: [1, 1], once: true, read: readMaxBody },
  { name: 'allow', contexts: anywhere, args: [1, 1], read: (call) => readAccess('allow', call) },
  { name: 'deny', contexts: anywhere, args: [1, 1], read: (call) => readAccess('deny', call) },
];
