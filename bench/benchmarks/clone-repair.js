// A replica misses an update: how long until it has it?
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { milliseconds, whole } from '../harness/screen.js';
import { distribution } from '../harness/statistics.js';

export const summary = 'time from the loss of an update on its way to a replica that has it';

const BYTES = 256;
/** Milliseconds between two writes. */
const PAUSE = 2;
/** Each loss comes at random within so many milliseconds. */
const WAIT = 50;
const TRIALS = 200;
/** Milliseconds, of 99 in 100. */
const GOAL = 50;

const VARIANTS = [
  { name: 'lost', between: 'clone-relay', lose: loseMessage },
  { name: 'reset', between: 'chaos-proxy', lose: resetLink },
];

const NOTES = [
  `default options; one write each ${PAUSE} ms, values of ${BYTES} bytes; one replica`,
  'lost   a message of the server is dropped on its way; from then until the gap is repaired',
  'reset  the TCP connection is reset; from then until the replica has an update that was written after',
];

export async function run({ fleet, quick, progress }) {
  const variants = [];
  for (const { name, between, lose } of VARIANTS) {
    const { endpoint } = (await fleet.start('clone-server')).told;
    const settings = { endpoint, bytes: BYTES, keys: 1000 };
    const writer = await fleet.start('clone-writer', settings);
    const middle = await fleet.start(between, { endpoint, least: BYTES });
    const replica = await fleet.start('clone-replica', { endpoint: middle.told.endpoint });
    await writer.call('every', PAUSE);
    const raw = [];
    while (raw.length < (quick ? 5 : TRIALS)) {
      await sleep(Math.random() * WAIT);
      raw.push(await lose({ writer, middle, replica }));
      progress(`${name} ${raw.length} of ${TRIALS}, ${milliseconds(raw.at(-1).time)} ms`);
    }
    await fleet.end();
    variants.push({ name, ...distribution(raw.map(({ time }) => time)), raw });
  }
  return { variants, notes: NOTES };
}

async function loseMessage({ middle, replica }) {
  const repaired = once(replica, 'report');
  const lostAt = await middle.call('lose');
  const [{ at, milliseconds: itself, by }] = await repaired;
  return { time: (at - lostAt) / 1e6, itself, by };
}

async function resetLink({ writer, middle, replica }) {
  const resetAt = await middle.call('reset');
  const revision = await writer.call('write', { count: 1, inFlight: 1 });
  const at = await replica.call('reached', revision);
  return { time: (at - resetAt) / 1e6 };
}

export function tables({ variants }) {
  return [
    {
      title: 'From the loss of an update until the replica has it, in ms',
      head: ['variant', 'trials', 'p50', 'p99', 'max', 'goal'],
      rows: variants.map(({ name, count, p50, p99, max }) => [
        name,
        whole(count),
        milliseconds(p50),
        milliseconds(p99),
        milliseconds(max),
        `p99 ≤ ${GOAL}${p99 <= GOAL ? '' : ' MISSED'}`,
      ]),
    },
  ];
}
