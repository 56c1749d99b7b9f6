// @ts-check
/**
 * What the demo shows: a progress bar, or a line now and then where there is no terminal; at the end
 * a table.
 *
 * @typedef {import('./tally.js').Tally} Tally
 */
import { SingleBar } from 'cli-progress';
import Table from 'cli-table3';
import { GOAL } from './tally.js';

const FORMAT =
  '[{bar}] pass {pass} | {rate} files/s | killed {workers} workers {brokers} brokers | retries {retries}';

/** Milliseconds between two lines where there is no terminal. */
const LINE_INTERVAL = 2000;

/**
 * Shows the progress from now on.
 * @param {Tally} tally
 * @returns {() => void} ends it
 */
export function showProgress(tally) {
  if (process.stdout.isTTY) return showBar(tally);
  const timer = setInterval(() => {
    const { pass, rate, workers, brokers, retries } = progressOf(tally);
    console.log(
      `pass ${pass}: ${tally.hashed} files hashed, ${rate} a second; killed ${workers} workers, ${brokers} brokers; ${retries} retries`,
    );
  }, LINE_INTERVAL);
  return () => clearInterval(timer);
}

/** @param {Tally} tally */
function showBar(tally) {
  const bar = new SingleBar({
    format: FORMAT,
    barsize: Math.min(40, Math.max(10, process.stdout.columns - 76)),
    stream: process.stdout,
    hideCursor: true,
  });
  const update = () => bar.update(doneOfPass(tally), progressOf(tally));
  bar.start(tally.files, 0, progressOf(tally));
  const timer = setInterval(update, 100);
  return () => {
    clearInterval(timer);
    update();
    bar.stop();
  };
}

/** @param {Tally} tally */
function progressOf(tally) {
  return {
    pass: Math.max(1, Math.ceil(tally.settled / tally.files)),
    rate: Math.round(tally.hashed / tally.seconds),
    workers: `${tally.workersKilled}/${GOAL.workers}`,
    brokers: `${tally.brokersKilled}/${GOAL.brokers}`,
    retries: tally.retries,
  };
}

/** @param {Tally} tally */
function doneOfPass(tally) {
  return tally.settled === 0 ? 0 : ((tally.settled - 1) % tally.files) + 1;
}

/**
 * Prints the table, and what went wrong or could not be read.
 * @param {Tally} tally
 * @param {number} requeued
 */
export function showResult(tally, requeued) {
  const colours = process.stdout.isTTY ? {} : { style: { head: [], border: [] } };
  const table = new Table({ colAligns: ['left', 'right'], ...colours });
  const { seconds } = tally;
  table.push(
    ['passes', whole(Math.floor(tally.settled / tally.files))],
    ['files hashed', whole(tally.hashed)],
    ['bytes', whole(tally.bytes)],
    ['seconds', seconds.toFixed(1)],
    ['retries by the client', whole(tally.retries)],
    ['requests requeued by the broker', whole(requeued)],
    ['workers killed while holding requests', whole(tally.workersKilled)],
    ['  requests they held', whole(tally.heldByWorkers)],
    ['brokers killed while holding requests', whole(tally.brokersKilled)],
    ['  requests they held', whole(tally.heldByBrokers)],
    ['killed holding none (not counted above)', whole(tally.idleKilled)],
    ['unreadable (not hashed)', whole(tally.unreadable.size)],
    ['wrong hashes', whole(tally.wrong)],
    ['lost', whole(tally.lost)],
  );
  console.log(table.toString());
  for (const mistake of tally.mistakes) console.log(mistake);
  for (const [path, reason] of [...tally.unreadable].slice(0, 5)) {
    console.log(`unreadable: ${path}: ${reason}`);
  }
}

/** @param {number} number */
function whole(number) {
  return number.toLocaleString('en');
}
