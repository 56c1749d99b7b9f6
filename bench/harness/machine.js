// What a figure depends on beside the code: machine and versions.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import { fileURLToPath } from 'node:url';
import { version as libzmq } from 'zeromq';

export function describeMachine() {
  const [cpu] = cpus();
  return {
    date: new Date().toISOString(),
    processor: `${cpus().length} × ${cpu.model.trim()}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `${type()} ${release()} ${process.arch}`,
    node: process.version,
    unsinkable: versionOf('unsinkable'),
    zeromq: `${versionOf('zeromq')} (libzmq ${libzmq})`,
    'nats-server': natsVersion(),
    '@nats-io/transport-node': versionOf('@nats-io/transport-node'),
    transport: 'tcp on the loopback interface, one process for each role',
    durability: 'none: all in memory',
    loadBefore: loadavg()[0].toFixed(2),
  };
}

function versionOf(name) {
  const path = fileURLToPath(new URL(`../node_modules/${name}/package.json`, import.meta.url));
  return JSON.parse(readFileSync(path, 'utf8')).version;
}

function natsVersion() {
  const { stdout } = spawnSync('nats-server', ['--version'], { encoding: 'utf8' });
  return stdout?.trim().replace('nats-server: ', '') ?? 'not installed';
}
