// Peers measured in turns, so that noise hits all alike, and their ratios round by round.
import { milliseconds, percent, times, whole } from './screen.js';
import { median, spread } from './statistics.js';

/**
 * Starts each peer of a case, warms it up, and measures all of them in turns.
 * @param peers by name: starts its processes and resolves to the client, or to `{ missing }`
 * @param command what the client is called with; it resolves to a `Stopwatch`'s result
 */
export async function measureInTurns({ fleet, runs, quick, progress }, one, peers, load, command) {
  const entries = [];
  for (const [peer, start] of Object.entries(peers)) {
    progress(`${one.name}: starting ${peer}`);
    const client = await start(fleet, one);
    entries.push({ ...one, peer, client, missing: client.missing, runs: [] });
  }
  const present = entries.filter(({ missing }) => missing === undefined);
  for (const { client } of present)
    await client.call(command, { ...load, seconds: quick ? 0.2 : 1 });
  for (let round = 1; round <= runs; round++) {
    for (const { peer, client, runs: measured } of present) {
      const result = await client.call(command, load);
      measured.push(result);
      progress(`${one.name}: run ${round} of ${runs}, ${peer} ${whole(result.rate)}/s`);
    }
  }
  await fleet.end();
  return entries.map(({ client: _ended, ...entry }) => entry);
}

export const RESULT_HEAD = ['case', 'peer', 'per second', 'spread', 'p50 ms', 'p99 ms', 'max ms'];

export function resultRow({ name, peer, missing, runs }) {
  if (missing !== undefined) return [name, peer, { colSpan: 5, content: missing }];
  const of = (field) => runs.map((one) => one[field]);
  return [
    name,
    peer,
    whole(median(of('rate'))),
    percent(spread(of('rate'))),
    milliseconds(median(of('p50'))),
    milliseconds(median(of('p99'))),
    milliseconds(Math.max(...of('max'))),
  ];
}

export const RATIO_HEAD = ['case', 'of', 'times', 'from', 'to', 'goal'];

/** How many times as fast `ours` is as each of the others of its case. `goals`: by the peer's name. */
export function ratiosOf(results, ours, goals = {}) {
  return results
    .filter(({ peer, missing }) => peer !== ours && missing === undefined)
    .map(({ name, peer, runs }) => {
      const mine = results.find((other) => other.name === name && other.peer === ours);
      const rounds = runs.map(({ rate }, round) => mine.runs[round].rate / rate);
      return {
        name,
        ours,
        peer,
        ratio: median(rounds),
        from: Math.min(...rounds),
        to: Math.max(...rounds),
        goal: goals[peer],
      };
    });
}

export function ratioRow({ name, ours, peer, ratio, from, to, goal }) {
  const judged = goal === undefined ? '' : `≥ ${goal}${ratio >= goal ? '' : ' MISSED'}`;
  return [name, `${ours} : ${peer}`, times(ratio), times(from), times(to), judged];
}
