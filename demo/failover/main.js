// @ts-check
/**
 * The demo of failover: a pair of brokers under a steady load of requests, of which the one that serves is
 * killed with SIGKILL ten times, and started again each time. Nothing may be lost, nothing executed twice.
 *
 *   npm run demo:failover [-- --kills 10 --vote]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { messageOf } from '../files.js';
import { interruption, Interruption } from '../interruption.js';
import { Fleet } from './fleet.js';
import { askAndKill } from './load.js';
import { showProgress, showResult } from './screen.js';
import { Tally } from './tally.js';

const WORKERS = 3;

/** @returns {Promise<number>} the exit code */
async function main() {
  const command = new Command('demo:failover')
    .description(
      `Several clients ask ${WORKERS} workers through a pair of brokers, each request under an idempotency key, while the broker that serves is killed with SIGKILL and started again, several times. Exit code 1 if a request was lost, answered wrongly, or executed twice.`,
    )
    .option('--kills <number>', 'how often', wholeNumber(1), 10)
    .option('--vote', 'without a witness: clients vote')
    .option('--seed <number>', 'decides when', wholeNumber(0), 1)
    .option('--seconds <number>', 'give up after this time', wholeNumber(1), 120)
    .option('--verbose', 'tell each start and kill, with its process id, on stderr')
    .exitOverride();
  try {
    command.parse();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : 2;
  }
  const { kills, vote, seed, seconds, verbose } = command.opts();
  const mode = vote ? 'whose clients vote' : 'with a witness, and the default lease of a second';
  console.log(
    `A pair of brokers ${mode}: the one that serves is killed with\nSIGKILL ${kills} times under load. Nothing may be lost, nothing executed twice.`,
  );
  const settings = { hasWitness: vote !== true, seed, limit: seconds * 1000 };
  return await run(new Tally(kills), settings, verbose === true);
}

/** @param {number} least */
function wholeNumber(least) {
  return (/** @type {string} */ text) => {
    const number = Number(text);
    if (/^\d+$/.test(text) && number >= least) return number;
    throw new InvalidArgumentError(`It must be a whole number, ${least} or more.`);
  };
}

/**
 * @param {Tally} tally
 * @param {{ hasWitness: boolean, seed: number, limit: number }} settings the limit in milliseconds
 * @param {boolean} verbose
 * @returns {Promise<number>} the exit code
 */
async function run(tally, { hasWitness, seed, limit }, verbose) {
  const folder = mkdtempSync(join(tmpdir(), 'unsinkable-demo-'));
  const size = { workers: WORKERS, hasWitness };
  const fleet = new Fleet(folder, size, (line) => verbose && console.error(line));
  const stop = Promise.race([fleet.failed, interruption(), exhaustion(limit)]);
  /** @type {(() => void) | undefined} */
  let hideProgress;
  /** @type {unknown} */
  let failure;
  try {
    const endpoints = await Promise.race([fleet.start(), stop]);
    hideProgress = showProgress(tally);
    await askAndKill({ fleet, endpoints, tally, seed, stop });
  } catch (error) {
    failure = error;
  }
  hideProgress?.();
  await fleet.end();
  if (!(failure instanceof Interruption)) tally.readLogs(fleet.logs());
  rmSync(folder, { recursive: true, force: true });
  if (failure instanceof Interruption) return failure.exitCode;
  if (failure !== undefined) tally.failure = messageOf(failure);
  showResult(tally);
  const { failures } = tally;
  console.log(
    failures.length > 0
      ? `FAILED: ${failures.join('; ')}.`
      : `OK: ${tally.right} requests, each answered and executed once, over ${tally.kills.length} kills of the active broker.`,
  );
  return failures.length > 0 ? 1 : 0;
}

/**
 * @param {number} limit milliseconds
 * @returns {Promise<never>}
 */
function exhaustion(limit) {
  return new Promise((_, reject) => {
    const seconds = limit / 1000;
    setTimeout(() => reject(new Error(`not done after ${seconds} seconds`)), limit).unref();
  });
}

process.exitCode = await main();
