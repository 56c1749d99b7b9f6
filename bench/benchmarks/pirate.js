// Paranoid Pirate round trips, against a queue of bare zeromq.js sockets that promises nothing.
import { milliseconds, percent, times, whole } from '../harness/screen.js';
import { median, spread } from '../harness/statistics.js';

export const summary = 'Paranoid Pirate round trips, against bare ROUTER–ROUTER';

const BYTES = 11;

/** Requests in flight, and workers: each has one request at a time. */
const CASES = [
  { name: '1x1', inFlight: 1, workers: 1 },
  { name: '32x8', inFlight: 32, workers: 8 },
  { name: '256x32', inFlight: 256, workers: 32 },
];

/** Each starts its processes and returns the client's. */
const PEERS = {
  lazy: async (fleet, { inFlight, workers }) => {
    const { front, back } = (await fleet.start('pirate-queue')).told;
    await fleet.start('pirate-workers', { endpoint: back, count: workers });
    const client = { lanes: inFlight };
    return await fleet.start('pirate-client', { endpoint: front, bytes: BYTES, client });
  },
  bare: async (fleet, { workers }) => {
    const { front, back } = (await fleet.start('pirate-queue')).told;
    await fleet.start('pirate-workers', { endpoint: back, count: workers });
    return await fleet.start('bare-req-client', { endpoint: front, bytes: BYTES });
  },
  raw: async (fleet, { workers }) => {
    const { front, back } = (await fleet.start('raw-router-queue')).told;
    await fleet.start('raw-ready-workers', { endpoint: back, count: workers });
    return await fleet.start('bare-req-client', { endpoint: front, bytes: BYTES });
  },
};

const NOTES = [
  `all of them: bodies of ${BYTES} bytes; three processes, the workers in one`,
  'lazy  our Lazy Pirate client (a lane for each request in flight), queue and workers',
  'bare  a bare DEALER that pipelines, our queue and workers',
  'raw   the same DEALER, ROUTER–ROUTER and workers of bare zeromq.js: no heartbeats, no retries, no memory',
];

export async function run({ fleet, options, runs, quick, progress }) {
  const seconds = quick ? 0.5 : options.seconds;
  const results = [];
  for (const one of CASES) {
    const entries = [];
    for (const peer of Object.keys(PEERS)) {
      progress(`${one.name}: starting ${peer}`);
      const client = await PEERS[peer](fleet, one);
      await client.call('measure', { inFlight: one.inFlight, seconds: quick ? 0.2 : 1 });
      entries.push({ peer, client, runs: [] });
    }
    for (let round = 1; round <= runs; round++) {
      for (const { peer, client, runs: measured } of entries) {
        const result = await client.call('measure', { inFlight: one.inFlight, seconds });
        measured.push(result);
        progress(`${one.name}: run ${round} of ${runs}, ${peer} ${whole(result.rate)}/s`);
      }
    }
    await fleet.end();
    results.push(...entries.map(({ peer, runs: measured }) => ({ ...one, peer, runs: measured })));
  }
  return { seconds, results, ratios: ratiosOf(results), notes: NOTES };
}

export function tables({ seconds, results, ratios }) {
  return [
    {
      title: `Paranoid Pirate, in flight x workers, runs of ${seconds} s`,
      texts: 2,
      head: ['case', 'peer', 'requests/s', 'spread', 'p50 ms', 'p99 ms'],
      rows: results.map(({ name, peer, runs }) => {
        const of = (field) => runs.map((one) => one[field]);
        return [
          name,
          peer,
          whole(median(of('rate'))),
          percent(spread(of('rate'))),
          milliseconds(median(of('p50'))),
          milliseconds(median(of('p99'))),
        ];
      }),
    },
    {
      title: 'Share of the bare limit: the median over the rounds, the smallest and the largest',
      texts: 2,
      head: ['case', 'of', 'times', 'from', 'to'],
      rows: ratios.map(({ name, peer, ratio, from, to }) => [
        name,
        `${peer} : raw`,
        times(ratio),
        times(from),
        times(to),
      ]),
    },
  ];
}

function ratiosOf(results) {
  return results
    .filter(({ peer }) => peer !== 'raw')
    .map(({ name, peer, runs }) => {
      const raw = results.find((other) => other.name === name && other.peer === 'raw');
      const rounds = runs.map(({ rate }, round) => rate / raw.runs[round].rate);
      return {
        name,
        peer,
        ratio: median(rounds),
        from: Math.min(...rounds),
        to: Math.max(...rounds),
      };
    });
}
