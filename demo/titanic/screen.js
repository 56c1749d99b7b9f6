// @ts-check
/** What this demo shows. @typedef {import('./tally.js').Tally} Tally */
import { printTable, show, whole } from '../screen.js';

/**
 * Shows the progress from now on.
 * @param {Tally} tally
 * @returns {() => void} ends it
 */
export function showProgress(tally) {
  return show({
    total: 2 * tally.requests,
    done: () => tally.submitted + tally.right,
    fields: () => ({
      submitted: whole(tally.submitted),
      right: whole(tally.right),
      kills: `${tally.kills.length}/${tally.killsWanted}`,
    }),
    format: '[{bar}] {submitted} handed over | {right} answers | everything killed {kills} times',
    line: ({ submitted, right, kills }) =>
      `${submitted} handed over, ${right} answers; everything killed ${kills} times`,
  });
}

/**
 * Prints the table, and the first mistakes.
 * @param {Tally} tally
 */
export function showResult(tally) {
  const { extra, late } = tally;
  printTable([
    ['seconds', tally.seconds.toFixed(1)],
    ['requests accepted', whole(tally.submitted)],
    ['right answers', whole(tally.right)],
    ['wrong answers', whole(tally.wrong)],
    ['lost', whole(tally.lost)],
    ['everything killed', whole(tally.kills.length)],
    ['  requests in execution then', whole(tally.held)],
    ['  longest outage, in seconds', tally.longestOutage.toFixed(1)],
    ['executions', whole(tally.executions)],
    ['beyond one per request', whole(extra.cutShort + extra.notStored + extra.unexplained)],
    ['  because a kill cut the former one short', whole(extra.cutShort)],
    ['  because a kill came before its answer was stored', whole(extra.notStored)],
    ['  without a reason', whole(extra.unexplained)],
    ['executed although the answer was stored', whole(late.afterStored)],
    ['called off before they were due', whole(tally.calledOff)],
    ['executed after a close', whole(late.afterClose)],
  ]);
  for (const mistake of tally.mistakes) console.log(mistake);
}
