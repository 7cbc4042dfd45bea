// Counts its requests, on the port named by the first argument.
import http from 'node:http';

let count = 0;
const server = http.createServer((request, response) => {
  count += 1;
  console.log(`${request.method} ${request.url} is number ${count}`);
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ count, pid: process.pid }));
});
server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('counting'));
process.on('SIGTERM', () => server.close(() => process.exit(0)).closeIdleConnections());
