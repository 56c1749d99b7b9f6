// A replica that comes late: how long until it has a large map, and what that costs.
import { mebibytes, milliseconds, whole } from '../harness/screen.js';
import { median } from '../harness/statistics.js';

export const summary =
  'time and memory of a snapshot of a million keys, against bare frames and NATS KV';

const KEYS = 1_000_000;
const BYTES = 11;
/** Milliseconds for a million keys. */
const GOAL = 3000;

const PEERS = { clone, frames, 'nats-kv': natsKv };

const NOTES = [
  `keys such as /bench/123456, values of ${BYTES} bytes; each run in a fresh process`,
  'loaded    from the connect until all is there, and for ours is checked by count and digest',
  'peak      memory of the replica’s process at the most, from some 60 MiB before',
  'server +  what the server’s process had at the most beyond what it had before the first snapshot',
  'frames    bare zeromq.js, 5 frames a key as in 12/CHP, from ROUTER to DEALER',
];

export async function run({ fleet, runs, quick, progress }) {
  const keys = quick ? 10_000 : KEYS;
  const results = [];
  for (const [peer, start] of Object.entries(PEERS)) {
    progress(`${peer}: filling`);
    const { missing, server, role, settings } = await start(fleet, keys);
    const measured = [];
    const wanted = missing === undefined ? runs : 0;
    while (measured.length < wanted) {
      await server?.call('forgetPeak');
      const before = await server?.call('memory');
      const replica = await fleet.start(role, { ...settings, waits: true });
      const loaded = await replica.call('load');
      if (loaded.size !== keys) throw new Error(`${peer}: ${loaded.size} of ${keys} keys`);
      const after = await server?.call('memory');
      measured.push({ ...loaded, grown: after && after.peak - before.resident });
      progress(`${peer}: ${milliseconds(loaded.milliseconds)} ms`);
      await replica.end();
    }
    await fleet.end();
    results.push({ peer, missing, runs: measured });
  }
  return { keys, results, notes: NOTES };
}

export function tables({ keys, results }) {
  return [
    {
      title: `A snapshot of ${whole(keys)} keys`,
      head: ['peer', 'loaded ms', 'smallest', 'largest', 'peak MiB', 'server + MiB', 'goal'],
      rows: results.map((result) => resultRow(result, keys)),
    },
  ];
}

function resultRow({ peer, missing, runs }, keys) {
  if (missing !== undefined) return [peer, { colSpan: 6, content: missing }];
  const loaded = runs.map((one) => one.milliseconds);
  const grown = runs.map((one) => one.grown);
  const limit = (GOAL * keys) / KEYS;
  return [
    peer,
    milliseconds(median(loaded)),
    milliseconds(Math.min(...loaded)),
    milliseconds(Math.max(...loaded)),
    mebibytes(Math.max(...runs.map((one) => one.peak))),
    grown[0] === undefined ? '' : mebibytes(Math.max(...grown)),
    peer === 'clone' ? `< ${whole(limit)} ms${median(loaded) < limit ? '' : ' MISSED'}` : '',
  ];
}

async function clone(fleet, keys) {
  const server = await fleet.start('clone-server');
  const { endpoint } = server.told;
  const writer = await fleet.start('clone-writer', { endpoint, bytes: BYTES, keys });
  await writer.call('write', { count: keys, inFlight: 1000 });
  await writer.end();
  return { server, role: 'clone-replica', settings: { endpoint } };
}

async function frames(fleet, keys) {
  const { endpoint } = (await fleet.start('raw-snapshot-server', { bytes: BYTES, keys })).told;
  return { role: 'raw-snapshot-client', settings: { endpoint } };
}

async function natsKv(fleet, keys) {
  const { missing, port } = (await fleet.start('nats-server', { jetstream: true })).told;
  if (missing) return { missing: 'nats-server not installed' };
  const writer = await fleet.start('nats-kv-writer', { port, bytes: BYTES, keys });
  await writer.call('write', { count: keys, inFlight: 1000 });
  await writer.end();
  return { role: 'nats-kv-replica', settings: { port } };
}
