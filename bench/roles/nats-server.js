// The NATS server, on a free port, as long as this process lives; with JetStream if it is wanted.
import { spawn } from 'node:child_process';
import { temporaryFolder } from '../harness/folder.js';
import { options, ready } from '../harness/role.js';

const jetstream = options.jetstream ? ['--jetstream', '--store_dir', temporaryFolder()] : [];
const server = spawn('nats-server', ['--addr', '127.0.0.1', '--port', '-1', ...jetstream], {
  stdio: ['ignore', 'ignore', 'pipe'],
});
process.on('exit', () => server.kill());
server.on('error', () => ready({ missing: true }));
let log = '';
server.stderr.on('data', (data) => {
  if (log === undefined) return;
  log += data;
  const [, port] = /client connections on [^\n]*:(\d+)\n/.exec(log) ?? [];
  if (port === undefined || !log.includes('Server is ready')) return;
  log = undefined;
  ready({ port: Number(port), pid: server.pid });
});
