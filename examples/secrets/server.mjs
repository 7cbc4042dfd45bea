// Answers whoever has the token, or the one of before: a token changes without a moment in which somebody is turned away.
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const digest = (text) => createHash('sha256').update(text).digest();
const good = [process.env.TOKEN_FILE, process.env.PREVIOUS_TOKEN_FILE].map((file) => digest(`Bearer ${readFileSync(file, 'utf8')}`));

const server = createServer(({ headers: { authorization = '' } }, response) => {
  const given = digest(authorization);
  const isGood = good.map((one) => timingSafeEqual(one, given)).includes(true);
  response.writeHead(isGood ? 200 : 401).end(isGood ? 'welcome\n' : 'who are you?\n');
});
server.listen(Number(process.env.PORT), '127.0.0.1');
process.on('SIGTERM', () => server.close(() => process.exit(0)));
