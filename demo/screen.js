// @ts-check
/**
 * What a demo shows: a progress bar, or a line now and then where there is no terminal; at the end
 * a table.
 *
 * @typedef {import('./tally.js').Tally} Tally
 *
 * @typedef {object} View what is to be seen of a progress
 * @property {number} total
 * @property {() => number} done
 * @property {() => Record<string, string | number>} fields what else there is, by name
 * @property {string} format of the bar, with `{names}` of fields
 * @property {(fields: Record<string, string | number>) => string} line the same where there is no bar
 */
import { SingleBar } from 'cli-progress';
import Table from 'cli-table3';
import { GOAL } from './tally.js';

const FORMAT =
  '[{bar}] pass {pass} | {rate} files/s | killed {workers} workers {brokers} brokers | retries {retries}';

/** Milliseconds between two lines where there is no terminal. */
const LINE_INTERVAL = 2000;

/**
 * Shows the progress of the hashing from now on.
 * @param {Tally} tally
 * @returns {() => void} ends it
 */
export function showProgress(tally) {
  return show({
    total: tally.files,
    done: () => doneOfPass(tally),
    fields: () => progressOf(tally),
    format: FORMAT,
    line: ({ pass, rate, workers, brokers, retries }) =>
      `pass ${pass}: ${tally.hashed} files hashed, ${rate} a second; killed ${workers} workers, ${brokers} brokers; ${retries} retries`,
  });
}

/**
 * Shows a progress from now on.
 * @param {View} view
 * @returns {() => void} ends it
 */
export function show(view) {
  if (process.stdout.isTTY) return showBar(view);
  const timer = setInterval(() => console.log(view.line(view.fields())), LINE_INTERVAL);
  return () => clearInterval(timer);
}

/** @param {View} view */
function showBar({ total, done, fields, format }) {
  const bar = new SingleBar({
    format,
    barsize: Math.min(40, Math.max(10, process.stdout.columns - 76)),
    stream: process.stdout,
    hideCursor: true,
  });
  const update = () => bar.update(done(), fields());
  bar.start(total, 0, fields());
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
  const { seconds } = tally;
  printTable([
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
  ]);
  for (const mistake of tally.mistakes) console.log(mistake);
  for (const [path, reason] of [...tally.unreadable].slice(0, 5)) {
    console.log(`unreadable: ${path}: ${reason}`);
  }
}

/**
 * Prints what was counted: a label and a number each, or several under a head.
 * @param {[label: string, ...values: string[]][]} rows
 * @param {string[]} [head]
 */
export function printTable(rows, head = []) {
  const colours = process.stdout.isTTY ? {} : { style: { head: [], border: [] } };
  const [first = []] = rows;
  const colAligns = first.map((_, column) => (column === 0 ? 'left' : 'right'));
  const table = new Table({ head, colAligns, ...colours });
  table.push(...rows);
  console.log(table.toString());
}

/** @param {number} number */
export function whole(number) {
  return number.toLocaleString('en');
}
