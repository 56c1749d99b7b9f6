// Requests that survive: durable submits against JetStream, and full cycles against BullMQ on Redis.
import {
  measureInTurns,
  RATIO_HEAD,
  RESULT_HEAD,
  ratioRow,
  ratiosOf,
  resultRow,
} from '../harness/rounds.js';

export const summary = 'durable submits against JetStream, full cycles against BullMQ';

const BYTES = 11;
/** What BullMQ's worker and our service may run at a time: as many as there are requests in flight. */
const CYCLES = 100;

const SUBMITS = {
  name: 'submits',
  inFlight: 1000,
  command: 'submit',
  peers: {
    fsync: (fleet) => ours(fleet, 'fsync'),
    os: (fleet) => ours(fleet, 'os'),
    jetstream: async (fleet) => {
      const { missing, port } = (await fleet.start('nats-server', { jetstream: true })).told;
      if (missing) return { missing: 'nats-server not installed' };
      return await fleet.start('jetstream-client', { port, bytes: BYTES });
    },
    store: async (fleet) => await fleet.start('bare-store', { bytes: BYTES }),
  },
  goals: { jetstream: 2 },
};

const FULL = {
  name: 'cycles',
  inFlight: CYCLES,
  command: 'cycle',
  peers: {
    fsync: (fleet) => ours(fleet, 'fsync'),
    os: (fleet) => ours(fleet, 'os'),
    'bullmq-always': (fleet) => bullmq(fleet, 'always'),
    'bullmq-everysec': (fleet) => bullmq(fleet, 'everysec'),
  },
  goals: { 'bullmq-always': 10 },
};

const NOTES = [
  `bodies of ${BYTES} bytes; submits: 1,000 in flight; cycles: submit, execute, fetch, close, ${CYCLES} in flight`,
  'fsync           our client, broker, Titanic and worker: on the disk before it is acknowledged',
  "os              the same with durability 'os': with the operating system before it is acknowledged",
  'jetstream       publish to a JetStream with a file store, which acknowledges before it syncs',
  'store           the storage of a Titanic alone, fsynced, without any message: the limit',
  'bullmq-always   BullMQ, Redis with appendfsync always; add, process, waitUntilFinished, remove',
  'bullmq-everysec the same with appendfsync everysec, which acknowledges before it syncs',
];

export async function run(context) {
  const { quick, options } = context;
  const results = [];
  const ratios = [];
  for (const one of [SUBMITS, FULL]) {
    const { name, inFlight, command, peers, goals } = one;
    const load = { inFlight, seconds: quick ? 0.5 : options.seconds };
    const measured = await measureInTurns(context, { name }, peers, load, command);
    results.push(...measured);
    ratios.push(...ratiosOf(measured, 'fsync', goals));
  }
  return { seconds: options.seconds, results, ratios, notes: NOTES };
}

export function tables({ seconds, results, ratios }) {
  return [
    {
      title: `Titanic, runs of ${seconds} s`,
      texts: 2,
      head: RESULT_HEAD,
      rows: results.map(resultRow),
    },
    {
      title: 'Ratios: the median over the rounds, the smallest and the largest',
      texts: 2,
      head: RATIO_HEAD,
      rows: ratios.map(ratioRow),
    },
  ];
}

async function ours(fleet, durability) {
  const { endpoint } = (await fleet.start('broker')).told;
  const titanic = { storage: { durability }, pendingLimit: 100_000_000 };
  await fleet.start('titanic', { endpoint, titanic });
  await fleet.start('worker', { endpoint, worker: { concurrency: CYCLES } });
  return await fleet.start('titanic-client', { endpoint, bytes: BYTES });
}

async function bullmq(fleet, fsync) {
  const { missing, path } = (await fleet.start('redis-server', { fsync })).told;
  if (missing) return { missing: 'redis-server not installed' };
  await fleet.start('bullmq-worker', { path, concurrency: CYCLES });
  return await fleet.start('bullmq-client', { path, bytes: BYTES });
}
