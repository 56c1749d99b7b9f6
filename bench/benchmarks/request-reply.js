// Brokered request-reply: three processes, a fixed number of requests in flight, against peers that
// are measured in the same run, in turns.
import { listOf, positive } from '../harness/arguments.js';
import { milliseconds, percent, times, whole } from '../harness/screen.js';
import { median, spread } from '../harness/statistics.js';
import { cpuSeconds, machineSeconds } from '../harness/process-usage.js';

export const summary = 'requests a second and their latency, against NATS, raw hops and stock MDP';

/** Stock MDP has one request a socket, and a process has 1,023 sockets. */
const MOST_LANES = 256;

/** Bytes of the body, requests in flight. */
const CASES = [
  { name: '11x1', bytes: 11, inFlight: 1 },
  { name: '11x100', bytes: 11, inFlight: 100 },
  { name: '11x1000', bytes: 11, inFlight: 1000 },
  { name: '11x10000', bytes: 11, inFlight: 10_000 },
  { name: '1Kx1000', bytes: 1024, inFlight: 1000 },
  { name: '64Kx100', bytes: 65_536, inFlight: 100 },
];

/** What performance.md sets as a goal: ours, the peer, and how many times as fast. */
const GOALS = [
  { name: '11x1000', ours: 'express', peer: 'nats', goal: 8 },
  { name: '11x100', ours: 'express', peer: 'nats', goal: 4 },
  { name: '1Kx1000', ours: 'express', peer: 'nats', goal: 5 },
  { name: '11x1', ours: 'express', peer: 'raw', goal: 0.85 },
  { name: '11x1', ours: 'express', peer: 'nats', goal: 1 },
];

/** Each starts its processes, and says which is the client and who spends CPU on a request. */
const PEERS = {
  express: async (fleet, { bytes, inFlight }) =>
    ours(
      fleet,
      bytes,
      { concurrency: Math.max(100, inFlight), protocol: 'express' },
      { protocol: 'express' },
    ),
  nats: async (fleet, { bytes }) => {
    const server = await fleet.start('nats-server');
    const { missing, port, pid } = server.told;
    if (missing) return { missing: 'nats-server not installed' };
    const worker = await fleet.start('nats-responder', { port });
    const client = await fleet.start('nats-client', { port, bytes });
    return { client, pids: { client: client.pid, middle: pid, worker: worker.pid } };
  },
  raw: async (fleet, { bytes }) => {
    const relay = await fleet.start('raw-relay');
    const worker = await fleet.start('raw-worker', { endpoint: relay.told.back });
    const client = await fleet.start('raw-client', { endpoint: relay.told.front, bytes });
    return { client, pids: { client: client.pid, middle: relay.pid, worker: worker.pid } };
  },
  stock: async (fleet, { bytes, inFlight }) => {
    const lanes = Math.min(inFlight, MOST_LANES);
    const protocol = 'mdp0.1';
    return ours(fleet, bytes, { concurrency: lanes, protocol }, { lanes, protocol });
  },
  'stock-peers': async (fleet, { bytes }) => {
    const broker = await fleet.start('broker');
    const { endpoint } = broker.told;
    const worker = await fleet.start('mdp-worker', { endpoint });
    const second = await fleet.start('mdp-worker', { endpoint });
    const client = await fleet.start('mdp-client', { endpoint, bytes });
    const workers = { worker: worker.pid, second: second.pid };
    return { client, pids: { client: client.pid, middle: broker.pid, ...workers } };
  },
};

const NOTES = [
  'express      our client, broker and worker, client.request() with promises',
  'nats         NATS core request-reply: Node client and Node responder, nats-server',
  'raw          two hops of bare zeromq.js, no promises: its limit without packing',
  `stock        our client, broker and worker with protocol mdp0.1, at most ${MOST_LANES} lanes`,
  'stock-peers  a bare MDP 0.1 client that pipelines, our broker, two bare MDP 0.1 workers',
  'spread       half the distance between the slowest and the fastest run',
  'CPU          µs a request of the client, of what is in the middle, and of one worker',
  'others       what all other processes of the machine used meanwhile, of one core: noise',
  'latency      median over the runs of p50 and of p99, and the longest of all',
];

export function addOptions(command) {
  const peers = Object.keys(PEERS);
  const cases = CASES.map(({ name }) => name);
  command
    .option('--peers <names>', `of request-reply: ${peers.join(',')}`, listOf(peers), peers)
    .option('--cases <names>', `of request-reply: ${cases.join(',')}`, listOf(cases), cases)
    .option('--seconds <number>', 'of one measurement of request-reply', positive, 2);
}

export async function run(context) {
  const { peers } = context.options;
  const cases = CASES.filter(({ name }) => context.options.cases.includes(name));
  const seconds = context.quick ? 0.5 : context.options.seconds;
  const results = [];
  for (const one of cases) results.push(...(await runCase(context, one, peers, seconds)));
  return { seconds, results, ratios: ratiosOf(results), notes: NOTES };
}

export function tables({ seconds, results, ratios }) {
  return [
    {
      title: `Request-reply, runs of ${seconds} s`,
      texts: 2,
      head: [
        'case',
        'peer',
        'requests/s',
        'spread',
        'p50 ms',
        'p99 ms',
        'max ms',
        'CPU µs/request',
        'others',
      ],
      rows: results.map(resultRow),
    },
    {
      title:
        'Ratios: the median over the rounds, the smallest and the largest; each round has one run of each peer',
      texts: 2,
      head: ['case', 'of', 'times', 'from', 'to', 'goal'],
      rows: ratios.map(({ name, ours: one, peer, ratio, from, to, goal }) => [
        name,
        `${one} : ${peer}`,
        times(ratio),
        times(from),
        times(to),
        goal === undefined ? '' : `≥ ${goal}${ratio >= goal ? '' : ' MISSED'}`,
      ]),
    },
  ];
}

async function ours(fleet, bytes, workerOptions, clientOptions) {
  const broker = await fleet.start('broker');
  const { endpoint } = broker.told;
  const worker = await fleet.start('worker', { endpoint, worker: workerOptions });
  const client = await fleet.start('client', { endpoint, bytes, client: clientOptions });
  return { client, pids: { client: client.pid, middle: broker.pid, worker: worker.pid } };
}

/** Starts all peers, warms them up, and measures them in turns, so that noise hits all alike. */
async function runCase({ fleet, runs, quick, progress }, one, peers, seconds) {
  const entries = [];
  for (const peer of peers) {
    progress(`${one.name}: starting ${peer}`);
    entries.push({ peer, ...(await PEERS[peer](fleet, one)), runs: [] });
  }
  const present = entries.filter(({ missing }) => missing === undefined);
  for (const { peer, client } of present) {
    progress(`${one.name}: warming up ${peer}`);
    await client.call('measure', { inFlight: one.inFlight, seconds: quick ? 0.2 : 1 });
  }
  for (let round = 1; round <= runs; round++) {
    for (const entry of present) {
      const result = await measureOnce(entry, one.inFlight, seconds);
      entry.runs.push(result);
      progress(`${one.name}: run ${round} of ${runs}, ${entry.peer} ${whole(result.rate)}/s`);
    }
  }
  await fleet.end();
  return entries.map(({ peer, missing, runs: measured }) => ({
    ...one,
    peer,
    missing,
    runs: measured,
  }));
}

async function measureOnce({ client, pids }, inFlight, seconds) {
  const roles = Object.entries(pids);
  const usage = () => roles.map(([, pid]) => cpuSeconds(pid));
  const machine = machineSeconds();
  const before = usage();
  const begun = performance.now();
  const result = await client.call('measure', { inFlight, seconds });
  const spent = usage().map((cpu, index) => cpu - before[index]);
  const elapsed = (performance.now() - begun) / 1000;
  const others = (machineSeconds() - machine - spent.reduce((sum, cpu) => sum + cpu, 0)) / elapsed;
  const perRequest = roles.map(([role], index) => [role, (spent[index] * 1e6) / result.total]);
  return { ...result, cpu: Object.fromEntries(perRequest), others: Math.max(0, others) };
}

function resultRow({ name, peer, missing, runs }) {
  if (missing !== undefined) return [name, peer, { colSpan: 7, content: missing }];
  const of = (field) => runs.map((one) => one[field]);
  const cpu = (role) => median(runs.map((one) => one.cpu[role])).toFixed(1);
  return [
    name,
    peer,
    whole(median(of('rate'))),
    percent(spread(of('rate'))),
    milliseconds(median(of('p50'))),
    milliseconds(median(of('p99'))),
    milliseconds(Math.max(...of('max'))),
    `${cpu('client')} ${cpu('middle')} ${cpu('worker')}`,
    percent(median(of('others'))),
  ];
}

/** Each of ours against each of the others, round by round. */
function ratiosOf(results) {
  const ratios = [];
  for (const one of results.filter(({ peer }) => peer === 'express' || peer.startsWith('stock'))) {
    for (const other of results) {
      if (other.name !== one.name || other.missing !== undefined) continue;
      if (other.peer === one.peer || other.peer === 'express') continue;
      if (one.peer !== 'express' && other.peer.startsWith('stock')) continue;
      const rounds = one.runs.map(({ rate }, round) => rate / other.runs[round].rate);
      const goal = GOALS.find(
        ({ name, ours: mine, peer }) =>
          name === one.name && mine === one.peer && peer === other.peer,
      )?.goal;
      ratios.push({
        name: one.name,
        ours: one.peer,
        peer: other.peer,
        ratio: median(rounds),
        from: Math.min(...rounds),
        to: Math.max(...rounds),
        goal,
      });
    }
  }
  return ratios;
}
