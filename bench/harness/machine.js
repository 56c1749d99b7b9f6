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
    'classic-level': versionOf('unsinkable/node_modules/classic-level'),
    'nats-server': toolVersion('nats-server'),
    '@nats-io/transport-node': versionOf('@nats-io/transport-node'),
    '@nats-io/jetstream': versionOf('@nats-io/jetstream'),
    '@nats-io/kv': versionOf('@nats-io/kv'),
    'redis-server': toolVersion('redis-server'),
    bullmq: versionOf('bullmq'),
    transport: 'tcp on the loopback interface, one process for each role',
    durability: 'none: all in memory, where a benchmark does not say otherwise',
    loadBefore: loadavg()[0].toFixed(2),
  };
}

function versionOf(name) {
  const path = fileURLToPath(new URL(`../node_modules/${name}/package.json`, import.meta.url));
  return JSON.parse(readFileSync(path, 'utf8')).version;
}

function toolVersion(name) {
  const { stdout } = spawnSync(name, ['--version'], { encoding: 'utf8' });
  return stdout?.trim().replace(`${name}: `, '') ?? 'not installed';
}
