// Descriptor 3 is a socket that listens already (LISTEN_FDS, as systemd does it).
import { createServer } from 'node:http';

const server = createServer((_request, response) => response.end(`hello from process ${process.pid}\n`));

server.listen({ fd: 3 }, () => console.log('serving'));

// A stop answers what was accepted; what connects from now on is taken by the others, or waits.
process.on('SIGTERM', () => server.close(() => process.exit(0)));
