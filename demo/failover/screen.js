// @ts-check
/** What this demo shows. @typedef {import('./tally.js').Tally} Tally */
import { printTable, show, whole } from '../screen.js';
import { quantile } from './tally.js';

/**
 * Shows the progress from now on.
 * @param {Tally} tally
 * @returns {() => void} ends it
 */
export function showProgress(tally) {
  return show({
    total: tally.killsWanted,
    done: () => tally.kills.length,
    fields: () => ({
      right: whole(tally.right),
      kills: `${tally.kills.length}/${tally.killsWanted}`,
      lost: whole(tally.lost),
    }),
    format: '[{bar}] {kills} kills | {right} answers | {lost} lost',
    line: ({ right, kills, lost }) => `${kills} kills, ${right} answers, ${lost} lost`,
  });
}

/**
 * Prints the tables, and the first mistakes.
 * @param {Tally} tally
 */
export function showResult(tally) {
  const { gaps } = tally;
  if (gaps.length > 0) {
    printTable(
      [
        ['until somebody is answered', ...spreadOf(gaps.map(({ first }) => first))],
        ['until everybody is', ...spreadOf(gaps.map(({ all }) => all))],
      ],
      ['gap after a kill, in ms', 'p50', 'p99', 'max'],
    );
  }
  printTable([
    ['seconds', tally.seconds.toFixed(1)],
    ['active killed', whole(tally.kills.length)],
    ['  requests under way then', whole(tally.held)],
    ['requests asked', whole(tally.asked)],
    ['right answers', whole(tally.right)],
    ['wrong answers', whole(tally.wrong)],
    ['lost', whole(tally.lost)],
    ['tries again by the clients', whole(tally.retries)],
    ['asked again after a kill, same answer', whole(tally.remembered)],
    ['asked again after a kill, another answer', whole(tally.forgotten)],
    ['executions', whole(tally.executions)],
    ['executed twice', whole(tally.extra)],
  ]);
  for (const mistake of tally.mistakes) console.log(mistake);
}

/**
 * @param {readonly number[]} gaps
 * @returns {string[]}
 */
function spreadOf(gaps) {
  return [0.5, 0.99, 1].map((share) => whole(Math.round(quantile(gaps, share))));
}
