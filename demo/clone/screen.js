// @ts-check
/** What this demo shows. @typedef {import('./tally.js').Tally} Tally */
import { quantile } from '../failover/tally.js';
import { printTable, show, whole } from '../screen.js';

/**
 * Shows the progress from now on.
 * @param {Tally} tally
 * @returns {() => void} ends it
 */
export function showProgress(tally) {
  return show({
    total: tally.updates,
    done: () => tally.acknowledged,
    fields: () => ({
      updates: whole(tally.acknowledged),
      cuts: whole(tally.cuts),
      kills: `${tally.kills}/${tally.killsWanted}`,
      repairs: `${tally.repairs.length}/${tally.gaps}`,
    }),
    format: '[{bar}] {updates} updates | {cuts} cuts | {kills} kills | {repairs} gaps repaired',
    line: ({ updates, cuts, kills, repairs }) =>
      `${updates} updates, ${cuts} links cut, ${kills} kills, ${repairs} gaps repaired`,
  });
}

/**
 * Prints the tables, and the first mistakes.
 * @param {Tally} tally
 */
export function showResult(tally) {
  const { repairs } = tally;
  const times = repairs.map(({ milliseconds }) => milliseconds);
  if (times.length > 0) {
    const spread = [0.5, 0.99, 1].map((share) => whole(Math.round(quantile(times, share))));
    printTable([['found until repaired', ...spread]], ['gaps, in ms', 'p50', 'p99', 'max']);
  }
  const byHistory = repairs.filter(({ by }) => by === 'history').length;
  printTable([
    ['seconds', tally.seconds.toFixed(1)],
    ['updates acknowledged', whole(tally.acknowledged)],
    ['  a second', whole(tally.perSecond)],
    ['keys in the end', whole(tally.keys)],
    ['replicas', whole(tally.replicas)],
    ['links cut', whole(tally.cuts)],
    ['active server killed', whole(tally.kills)],
    ['gaps found', whole(tally.gaps)],
    ['  repaired from history', whole(byHistory)],
    ['  repaired by snapshot', whole(repairs.length - byHistory)],
    ["digests equal to the server's", whole(tally.equal)],
    ['maps that are different', whole(tally.different)],
    ['updates lost', whole(tally.lost)],
  ]);
  for (const mistake of tally.mistakes) console.log(mistake);
}
