/** The files that both serve. */
import { mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';

const long = `${'0123456789abcdef'.repeat(4096)}\n`;

const contents: Readonly<Record<string, string | Buffer>> = {
  'index.html': '<h1>home</h1>\n',
  'a.txt': 'the text a\n',
  'b.html': '<p>the page b</p>\n',
  'empty.txt': '',
  noextension: 'no extension\n',
  'app.js': 'console.log(1)\n',
  'style.css': 'body { color: red }\n',
  'data.json': `{"list":[${Array.from({ length: 200 }, (_, n) => n).join(',')}]}\n`,
  'image.png': Buffer.from([0x89, 0x50, 0x4e, 0x47]),
  'long.txt': long,
  'sp ace.txt': 'a space\n',
  'ü.txt': 'an umlaut\n',
  'plus+and%percent.txt': 'plus and percent\n',
  'dir/index.html': '<h1>dir</h1>\n',
  'dir/other.html': '<h1>other</h1>\n',
  'dir/b.txt': 'dir b\n',
  'dir/sub/c.txt': 'dir sub c\n',
  'noindex/only.txt': 'only\n',
  'twice/twice.txt': 'twice\n',
  'static/a.txt': 'static a\n',
  'static/index.html': 'static index\n',
  'static/dir/index.html': 'static dir index\n',
  'other/a.txt': 'other a\n',
  'other/index.htm': 'other index\n',
  'errors/404.html': 'configured 404\n',
  'errors/50x.html': 'configured 50x\n',
  'errors/403.html': 'configured 403\n',
  'packed.txt': 'plain of packed, long enough to be worth it\n',
  'packed.txt.gz': gzipSync('plain of packed, long enough to be worth it\n'),
  '.hidden': 'hidden\n',
  '.htaccess': 'secret\n',
  'upper.HTML': 'upper case extension\n',
  'vhost/one.example/index.html': 'vhost one\n',
  'vhost/two.example/index.html': 'vhost two\n',
  'app/index.html': 'single page app\n',
  'app/real.txt': 'real\n',
  // anna:secret (SHA), bob:secret ($apr1$)
  // cleo (bcrypt), dora (SHA-256), emil (SHA-512), finn (MD5): secret
  'htpasswd.more':
    'cleo:$2y$04$qd2F9IjpRsurze1z0dWPcuu66WJiyd8Gm0P60lbpZjP.k0a1pkpa6\ndora:$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.\nemil:$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.\nfinn:$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1\n',
  htpasswd: 'anna:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\nbob:$apr1$salt1234$G61s9lpZAELkzUFCbj/53/\nplain:{PLAIN}open\n',
};

/** Writes them below `folder`, all of one modification time. */
export function writeFixtures(folder: string): void {
  const time = new Date('2025-06-01T12:00:00Z');
  for (const [name, content] of Object.entries(contents)) {
    const file = join(folder, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
    utimesSync(file, time, time);
  }
  mkdirSync(join(folder, 'emptydir'), { recursive: true });
  symlinkSync('a.txt', join(folder, 'link.txt'));
}
