// The NATS server, on a free port, as long as this process lives.
import { spawn } from 'node:child_process';
import { ready } from '../harness/role.js';

const server = spawn('nats-server', ['--addr', '127.0.0.1', '--port', '-1'], {
  stdio: ['ignore', 'ignore', 'pipe'],
});
process.on('exit', () => server.kill());
server.on('error', () => ready({ missing: true }));
let log = '';
server.stderr.on('data', (data) => {
  if (log === undefined) return;
  log += data;
  const [, port] = /client connections on [^\n]*:(\d+)\n/.exec(log) ?? [];
  if (port === undefined) return;
  log = undefined;
  ready({ port: Number(port), pid: server.pid });
});
