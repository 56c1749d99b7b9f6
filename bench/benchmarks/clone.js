// Updates applied at replicas: ours, bare PUB/SUB, and a NATS bucket with watches.
import { now } from '../harness/clock.js';
import { measureInTurns, RATIO_HEAD, ratioRow, ratiosOf } from '../harness/rounds.js';
import { milliseconds, percent, whole } from '../harness/screen.js';
import { median, spread } from '../harness/statistics.js';

export const summary = 'updates applied at one replica and at ten, against PUB/SUB and NATS KV';

const BYTES = 11;
const KEYS = 10_000;
const IN_FLIGHT = 1000;
/** What a replica that stood still has to catch up with. */
const BACKLOG = 200_000;
/** Updates a second at one replica. */
const GOAL = 300_000;

const CASES = [
  { name: 'written, 1 replica', replicas: 1, command: 'measure' },
  { name: 'written, 10 replicas', replicas: 10, command: 'measure' },
  { name: 'caught up, 1 replica', replicas: 1, command: 'catchUp' },
];

const PEERS = { clone, 'pub-sub': pubSub, 'nats-kv': natsKv };

const NOTES = [
  `${KEYS} keys, values of ${BYTES} bytes; ${IN_FLIGHT} writes in flight; all in memory`,
  'written    from the first write until each replica has the last one; ack is what the writer waits',
  `caught up  a replica stands still (SIGSTOP) while ${BACKLOG} updates are written, and goes on`,
  'clone      our writer, server and replicas, with promises; acknowledged, checked by digests',
  'pub-sub    bare zeromq.js, 5 frames an update as in 12/CHP: no writer, nothing acknowledged or repaired',
  'nats-kv    a bucket in memory; replicas watch',
];

export async function run(context) {
  const { quick, options } = context;
  const results = [];
  const ratios = [];
  for (const { name, replicas, command } of CASES) {
    const load = {
      inFlight: IN_FLIGHT,
      seconds: quick ? 0.5 : options.seconds,
      count: quick ? 20_000 : BACKLOG,
    };
    const measured = await measureInTurns(context, { name, replicas }, PEERS, load, command);
    results.push(...measured);
    ratios.push(...ratiosOf(measured, 'clone'));
  }
  return { seconds: options.seconds, results, ratios, notes: NOTES };
}

export function tables({ seconds, results, ratios }) {
  return [
    {
      title: `Updates a second at each replica, runs of ${seconds} s`,
      texts: 2,
      head: ['case', 'peer', 'a second', 'spread', 'ack p50 ms', 'ack p99 ms', 'goal'],
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

function resultRow({ name, peer, missing, runs }) {
  if (missing !== undefined) return [name, peer, { colSpan: 5, content: missing }];
  const rates = runs.map(({ rate }) => rate);
  const acknowledged = (field) => {
    const times = runs.map((one) => one[field]).filter((time) => time !== undefined);
    return times.length === 0 ? '' : milliseconds(median(times));
  };
  const hasGoal = peer === 'clone' && isOfReplica(name);
  const goal = hasGoal ? `≥ ${whole(GOAL)}${median(rates) >= GOAL ? '' : ' MISSED'}` : '';
  const figures = [whole(median(rates)), percent(spread(rates))];
  return [name, peer, ...figures, acknowledged('p50'), acknowledged('p99'), goal];
}

/** What is written is as fast as the writer and the server, too. */
function isOfReplica(name) {
  return name.startsWith('caught up');
}

/** Who writes, and those who follow. */
class Cast {
  #writer;
  #replicas;

  constructor(writer, replicas) {
    this.#writer = writer;
    this.#replicas = replicas;
  }

  async call(command, load) {
    return await (command === 'measure' ? this.#measure(load) : this.#catchUp(load));
  }

  async #measure({ inFlight, seconds }) {
    const written = await this.#writer.call('measure', { inFlight, seconds });
    const ended = await this.#reached(written.revision);
    const { total, begin, p50, p99 } = written;
    return { rate: total / ((ended - begin) / 1e9), p50, p99 };
  }

  async #catchUp({ count, inFlight }) {
    for (const replica of this.#replicas) replica.kill('SIGSTOP');
    const revision = await this.#writer.call('write', { count, inFlight });
    const begin = now();
    for (const replica of this.#replicas) replica.kill('SIGCONT');
    const ended = await this.#reached(revision);
    return { rate: count / ((ended - begin) / 1e9) };
  }

  async #reached(revision) {
    const ends = this.#replicas.map((replica) => replica.call('reached', revision));
    return Math.max(...(await Promise.all(ends)));
  }
}

/** Whoever stands still must not be taken for lost. */
const PATIENT = { heartbeatInterval: 20_000 };

async function clone(fleet, { replicas }) {
  const server = { ...PATIENT, historyLimit: 2_000_000, historyBytes: 2 ** 30 };
  const { endpoint } = (await fleet.start('clone-server', { server })).told;
  const settings = { endpoint, bytes: BYTES, keys: KEYS, client: PATIENT };
  const writer = await fleet.start('clone-writer', settings);
  return new Cast(writer, await startAll(fleet, replicas, 'clone-replica', settings));
}

async function pubSub(fleet, { replicas }) {
  const publisher = await fleet.start('raw-pub', { bytes: BYTES, keys: KEYS });
  return new Cast(publisher, await startAll(fleet, replicas, 'raw-sub', publisher.told));
}

async function natsKv(fleet, { replicas }) {
  const { missing, port } = (await fleet.start('nats-server', { jetstream: true })).told;
  if (missing) return { missing: 'nats-server not installed' };
  const writer = await fleet.start('nats-kv-writer', { port, bytes: BYTES, keys: KEYS });
  await writer.call('write', { count: 1, inFlight: 1 });
  return new Cast(writer, await startAll(fleet, replicas, 'nats-kv-replica', { port }));
}

async function startAll(fleet, count, role, settings) {
  return await Promise.all(Array.from({ length: count }, () => fleet.start(role, settings)));
}
