// Thousands of connected peers do nothing: what do they cost the broker?
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSeconds, isKnown, memory, openFileLimit } from '../harness/process-usage.js';
import { mebibytes, percent, whole } from '../harness/screen.js';
import { median } from '../harness/statistics.js';

export const summary =
  'CPU and memory of the broker with up to 10,000 connected peers that do nothing';

/**
 * Connected peers, step by step; how many processes they are spread over; seconds between two
 * heartbeats, agreed by both sides, and of each measurement.
 */
const FULL = { steps: [2500, 5000, 10_000], processes: 20, interval: 10 };
const QUICK = { steps: [250, 500, 1000], processes: 2, interval: 1 };

/** What the broker opens beside one file a peer. */
const SPARE_FILES = 200;

const GOAL = '≤ 5.0 % at 10,000';

export function addOptions(command) {
  command.option('--workers', 'of idle: let the peers be workers, not clients');
}

export async function run({ fleet, runs, quick, progress, common, options }) {
  const { steps, processes, interval } = quick ? QUICK : FULL;
  const obstacle = obstacleTo(steps.at(-1));
  if (obstacle !== undefined) return { interval, steps: [], notes: [obstacle] };
  const heartbeat = { heartbeatInterval: interval * 1000 };
  const broker = await fleet.start('broker', { broker: heartbeat });
  const kind = options.workers ? 'worker' : 'client';
  const peer =
    kind === 'client' && common.protocol?.startsWith('mdp') ? common : { ...common, ...heartbeat };
  const settings = { endpoint: broker.told.endpoint, kind, peer };
  const holders = [];
  for (let count = 0; count < processes; count++)
    holders.push(await fleet.start('idle-peers', settings));
  await sleep(1000);
  const before = memory(broker.pid).resident;
  const results = [];
  let connected = 0;
  for (const peers of steps) {
    progress(`connecting ${whole(peers)} ${kind}s`);
    const more = (peers - connected) / processes;
    for (const holder of holders) await holder.call('add', more);
    connected = peers;
    // What it cost to connect is over after an interval.
    await sleep(interval * 1000);
    const shares = [];
    for (let round = 1; round <= runs; round++) {
      progress(`${whole(peers)} ${kind}s, run ${round} of ${runs}`);
      shares.push(await cpuShare(broker.pid, interval));
    }
    const growth = memory(broker.pid).resident - before;
    results.push({ peers, kind, shares, resident: before + growth, perPeer: growth / peers });
  }
  await fleet.end();
  return { interval, before, steps: results, notes: NOTES };
}

const NOTES = [
  'CPU is that of the broker process with all its threads, as a share of one core.',
  'Memory a peer is what the broker grew by since before the first one, divided.',
];

export function tables({ interval, steps }) {
  return [
    {
      title: `Idle peers, one heartbeat every ${interval} s both ways`,
      head: ['peers', 'CPU, median', 'from', 'to', 'memory MiB', 'KiB a peer', 'goal'],
      rows: steps.map(({ peers, kind, shares, resident, perPeer }) => [
        `${whole(peers)} ${kind}s`,
        percent(median(shares)),
        percent(Math.min(...shares)),
        percent(Math.max(...shares)),
        mebibytes(resident),
        (perPeer / 1024).toFixed(1),
        GOAL,
      ]),
    },
  ];
}

function obstacleTo(peers) {
  if (!isKnown) return 'needs Linux, which tells what a process uses';
  const files = peers + SPARE_FILES;
  return openFileLimit() < files ? `needs 'ulimit -n' of ${files} or more` : undefined;
}

async function cpuShare(pid, seconds) {
  const cpu = cpuSeconds(pid);
  const begun = performance.now();
  await sleep(seconds * 1000);
  return ((cpuSeconds(pid) - cpu) * 1000) / (performance.now() - begun);
}
