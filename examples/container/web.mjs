import { createServer } from 'node:http';

const port = Number(process.argv[2]);
createServer((_, response) => response.end(`hello from ${process.env.STEWARD_INSTANCE}\n`)).listen(port, '127.0.0.1');
