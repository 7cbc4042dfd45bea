import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Value } from 'typebox/value';
import type { Reading, Surroundings } from '../format.ts';
import { createRandom } from '../mutate.ts';
import { formatProblems, hasErrors, originOf, type Position } from '../problem.ts';
import { fileShape } from '../sections/file.ts';
import { damage } from './cases/damage.ts';
import { looksLikeSupervisord, readSupervisord } from './supervisord.ts';

const around: Surroundings = { open: () => [], env: { HOME: '/root' }, hostname: 'box' };
const read = (text: string, file = '/etc/x.conf'): Reading => readSupervisord({ file, text }, around);

const web = `[supervisord]
environment=SHARED="yes"
umask=027
[program:web]
command=serve --port "80 80"
numprocs=2 ; two of them
process_name=web-%(process_num)d
stopsignal=INT
environment=A="1",
  B="two"
[group:site]
programs=web
priority=7
`;

/** The text at a place, which must lie inside the file. */
function textAt(text: string, { line, column, length }: Position): string {
  const found = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/)[line - 1];
  assert.ok(found !== undefined && column >= 1 && length >= 1 && column <= found.length + 1, `no place ${line}:${column}`);
  return found.slice(column - 1, column - 1 + length);
}

test('every field of a service leads back to the value that made it', () => {
  const { origins } = read(web);
  const at = (pointer: string): string | undefined => {
    const place = originOf(origins, pointer);
    return place && textAt(web, place);
  };
  assert.equal(at('/services/web'), '[program:web]');
  assert.equal(at('/services/web/run'), 'serve --port "80 80"');
  assert.equal(at('/services/web/run/2'), '80 80');
  assert.equal(at('/services/web/instances'), '2');
  assert.equal(at('/services/web/instanceName'), 'web-%(process_num)d');
  assert.equal(at('/services/web/stop/signal'), 'INT');
  assert.equal(at('/services/web/stop/timeout'), '[program:web]');
  assert.equal(at('/services/web/env/B'), 'two');
  assert.equal(at('/services/web/priority'), '7');
  assert.equal(at('/services/web/restart'), '[program:web]');
  assert.equal(at('/env/SHARED'), 'yes');
  assert.equal(at('/defaults/umask'), '027');
});

test('an empty [supervisord] gives nothing, and a file without it is read all the same', () => {
  const empty = read('[supervisord]\n');
  assert.deepEqual([empty.config, empty.problems], [{}, []]);
  assert.deepEqual(Object.keys(read('[program:a]\ncommand=a\n').config.services ?? {}), ['a']);
  assert.deepEqual(read('').config, {});
});

test('relative paths refer to the absolute folder of the file', () => {
  assert.equal(read('[program:a]\ncommand=a\n', '/etc/supervisor/a.conf').folder, '/etc/supervisor');
  assert.equal(read('', 'a.conf').folder, process.cwd());
});

test('names that JavaScript gives a meaning are names like any other', () => {
  const { config } = read('[program:__proto__]\ncommand=a\nenvironment=__proto__="x",constructor="y"\n[program:toString]\ncommand=b\n');
  assert.deepEqual(Object.keys(config.services ?? {}), ['__proto__', 'toString']);
  const env = Object.getOwnPropertyDescriptor(config.services, '__proto__')?.value.env;
  assert.deepEqual(Object.keys(env).slice(3), ['__proto__', 'constructor']);
});

test('a supervisord file is known by its sections', () => {
  const yes = [
    '[program:x]\n',
    '; note\n\n[supervisord]\nx=1',
    '\uFEFF[group:a]',
    '  [rpcinterface:x]',
    '[include]\nfiles = a',
    '[unix_http_server]\r\n',
  ];
  const no = [
    '',
    'services:\n  web: [program, x]\n',
    'server {\n  listen 80;\n}\n',
    '[include]\npath = x\n',
    '[section]\na=b',
    '<VirtualHost *:80>\n',
    'x = [program:y]',
  ];
  for (const text of yes) assert.ok(looksLikeSupervisord(text), text);
  for (const text of no) assert.ok(!looksLikeSupervisord(text), text);
});

const rich = `[supervisord]
environment=ROOT="/srv",LANG=C.UTF-8
user=root
[unix_http_server]
file=/run/s.sock
[include]
files = conf.d/*.conf %(here)s/%(ENV_HOME)s
[group:g]
programs=a,b
[program:a]
command=%(ENV_ROOT)s/a "x y" 'z' %(process_num)02d \\"
  -more %(ENV_HOME)s
process_name=%(program_name)s_%(process_num)02d
numprocs=3
exitcodes=0,2
stdout_logfile=~/a.log
stdout_logfile_maxbytes=5MB
environment=K="v;w",L='%(group_name)s',M=%(here)s
[program:b]
command=b
stopsignal=SIGUSR1
stopasgroup=true
redirect_stderr=on
umask=022
[eventlistener:e]
command=e
events=TICK_5
[fcgi-program:f]
command=f
socket=tcp://localhost:9000
`;

function checkReading(reading: Reading, text: string): void {
  for (const { at, code, message } of reading.problems) {
    assert.match(code, /^config\/[a-z-]+$/);
    assert.ok(message !== '' && at !== undefined, code);
    textAt(text, at);
  }
  for (const place of reading.origins.values()) textAt(text, place);
  formatProblems(reading.problems, reading.sources);
  if (hasErrors(reading.problems)) return;
  // The pattern beside it checks a duration: the library's own `duration` format is another one.
  const wrong = [...Value.Errors(fileShape, reading.config)].filter(({ keyword }) => keyword !== 'format');
  assert.deepEqual(wrong, [], JSON.stringify(reading.config));
}

test('no damage to a file makes the reader throw, point outside the file, or give another shape', () => {
  const random = createRandom(1);
  const inputs = [rich, web];
  for (let round = 0; round < 6000; round++) {
    let text = inputs[round % inputs.length] as string;
    for (let times = 0; times <= round % 3; times++) text = damage(text, random);
    try {
      checkReading(read(text), text);
      looksLikeSupervisord(text);
    } catch (cause) {
      throw new Error(`round ${round}:\n${text}`, { cause });
    }
  }
});

test('long and repetitive texts are read in good time', () => {
  const long = 100_000;
  const texts = [
    `[program:a]\ncommand=${'%('.repeat(long)}`,
    `[program:a]\ncommand=${'%( '.repeat(long / 3)}`,
    `[program:a]\ncommand=${'%(here)s '.repeat(long / 10)}`,
    `[program:a]\ncommand=${'%(ENV_X)s '.repeat(long / 10)}`,
    `[program:a]\ncommand=x\nstdout_logfile=/${'%%%%'.repeat(long)}`,
    `[program:a]\ncommand=x\nenvironment=${'A=%%,\n '.repeat(long / 10)}`,
    `[program:a]\ncommand=${'{'.repeat(long)}`,
    `[program:a]\ncommand=${'%%'.repeat(long)}`,
    `[program:a]\ncommand=a${' '.repeat(long)}b`,
    `[program:a]\nenvironment=${'A=1,'.repeat(long / 4)}\ncommand=a`,
    `[program:a]\ncommand=a\n${' b\n'.repeat(long / 3)}`,
    `[${'['.repeat(long)}\n${';'.repeat(long)}\n${'x;'.repeat(long / 2)}`,
    `[program:a]\n${'a=b\n'.repeat(long / 10)}`,
  ];
  for (const text of texts) {
    const start = performance.now();
    read(text);
    const took = performance.now() - start;
    assert.ok(took < 3000, `${text.slice(0, 40)} took ${took} ms`);
  }
});
