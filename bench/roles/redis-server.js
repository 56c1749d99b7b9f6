// The Redis server, on a socket in a folder of its own, as long as this process lives.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { temporaryFolder } from '../harness/folder.js';
import { options, ready } from '../harness/role.js';

const folder = temporaryFolder();
const path = join(folder, 'redis.sock');
const settings = {
  port: 0,
  unixsocket: path,
  dir: folder,
  save: '',
  appendonly: 'yes',
  appendfsync: options.fsync,
};
const server = spawn(
  'redis-server',
  Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]),
  { stdio: ['ignore', 'pipe', 'inherit'] },
);
process.on('exit', () => server.kill());
server.on('error', () => ready({ missing: true }));
let log = '';
server.stdout.on('data', (data) => {
  if (log === undefined) return;
  log += data;
  if (!log.includes('The server is now ready to accept connections')) return;
  log = undefined;
  ready({ path, pid: server.pid });
});
