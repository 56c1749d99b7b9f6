// One large body goes through the broker: how much memory does the broker need for it?
import { setTimeout as sleep } from 'node:timers/promises';
import { forgetPeak, isKnown, memory } from '../harness/process-usage.js';
import { mebibytes, whole } from '../harness/screen.js';
import { median } from '../harness/statistics.js';

export const summary = "the broker's peak memory while bodies of 100 MiB pass";

const MiB = 2 ** 20;
const BYTES = 100 * MiB;

/** Beside the body itself, for the first one. */
const ALLOWANCE = 64 * MiB;

/** Which way the body goes, and through what. */
const VARIANTS = [
  { peer: 'ours', direction: 'request', start: startOurs },
  { peer: 'ours', direction: 'reply', start: startOurs },
  { peer: 'raw', direction: 'request', start: startRaw },
];

const NOTES = [
  'ours  our client, broker and worker; raw  a relay of bare zeromq.js',
  'Growth is the peak of resident memory over what was resident before; one body after the other.',
];

export async function run(context) {
  if (!isKnown) return { variants: [], notes: ['needs Linux, which tells the peak of memory'] };
  const variants = VARIANTS.map(({ peer, direction }) => ({ peer, direction, runs: [] }));
  for (let round = 1; round <= context.runs; round++) {
    for (const [index, { peer, direction, start }] of VARIANTS.entries()) {
      context.progress(`run ${round} of ${context.runs}, ${peer} ${direction}`);
      variants[index].runs.push(await runOnce(context, direction, start));
      await context.fleet.end();
    }
  }
  return { bytes: BYTES, variants, notes: NOTES };
}

export function tables({ variants }) {
  return [
    {
      title: `A body of ${mebibytes(BYTES)} MiB through the broker: its memory in MiB, medians of all runs`,
      texts: 2,
      head: [
        'peer',
        'the',
        'before',
        'growth, first',
        'largest',
        'growth, four',
        'ms a body',
        'goal, first',
      ],
      rows: variants.map(({ peer, direction, runs }) => {
        const of = (field) => runs.map((one) => one[field]);
        return [
          peer,
          direction,
          mebibytes(median(of('before'))),
          mebibytes(median(of('first'))),
          mebibytes(Math.max(...of('first'))),
          mebibytes(median(of('four'))),
          whole(median(of('milliseconds'))),
          peer === 'ours' ? `≤ ${mebibytes(BYTES + ALLOWANCE)}` : '',
        ];
      }),
    },
  ];
}

async function runOnce({ fleet, common }, direction, start) {
  const { client, middle } = await start(fleet, common);
  await sleep(300);
  forgetPeak(middle.pid);
  const before = memory(middle.pid).resident;
  const begun = performance.now();
  await client.call(direction, BYTES);
  const first = memory(middle.pid).peak - before;
  for (let more = 0; more < 3; more++) await client.call(direction, BYTES);
  const four = memory(middle.pid).peak - before;
  return { before, first, four, milliseconds: (performance.now() - begun) / 4 };
}

async function startOurs(fleet, common) {
  const middle = await fleet.start('broker');
  const { endpoint } = middle.told;
  await fleet.start('bulk-worker', { endpoint, worker: common });
  const client = await fleet.start('bulk-client', { endpoint, client: common });
  return { client, middle };
}

async function startRaw(fleet) {
  const middle = await fleet.start('raw-relay');
  await fleet.start('raw-taker', { endpoint: middle.told.back });
  const client = await fleet.start('raw-bulk-client', { endpoint: middle.told.front });
  return { client, middle };
}
