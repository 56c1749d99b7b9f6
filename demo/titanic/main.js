// @ts-check
/**
 * The demo of the Titanic: thousands of requests are handed over, and while they are executed everything
 * (broker, workers, Titanic) is killed with SIGKILL, several times. In the end every answer has to be
 * there, and every execution beyond one per request has to have its reason.
 *
 *   npm run demo:titanic [-- --requests 10000 --kills 5]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { messageOf } from '../files.js';
import { interruption, Interruption } from '../interruption.js';
import { Fleet } from './fleet.js';
import { sail } from './voyage.js';
import { showProgress, showResult } from './screen.js';
import { Tally } from './tally.js';

const WORKERS = 2;

/** @returns {Promise<number>} the exit code */
async function main() {
  const command = new Command('demo:titanic')
    .description(
      `Hands requests to a Titanic, then kills broker, Titanic and ${WORKERS} workers with SIGKILL, all at once and several times, while they execute. Exit code 1 if an answer was lost or wrong, or a request executed without a reason.`,
    )
    .option('--requests <number>', 'how many', wholeNumber(1), 10_000)
    .option('--kills <number>', 'how often everything is killed', wholeNumber(0), 5)
    .option('--seed <number>', 'decides when and in which order', wholeNumber(0), 1)
    .option('--seconds <number>', 'give up after this time', wholeNumber(1), 120)
    .option('--verbose', 'tell each start and kill, with its process id, on stderr')
    .exitOverride();
  try {
    command.parse();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : 2;
  }
  const { requests, kills, seed, seconds, verbose } = command.opts();
  console.log(
    `${requests} requests are handed to a Titanic; while ${WORKERS} workers execute them, everything (broker, workers,\nTitanic) is killed with SIGKILL ${kills} times. Nothing may be lost, nothing executed without a reason.`,
  );
  return await run(new Tally(requests, kills), seed, seconds * 1000, verbose === true);
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
 * @param {number} seed
 * @param {number} limit milliseconds
 * @param {boolean} verbose
 * @returns {Promise<number>} the exit code
 */
async function run(tally, seed, limit, verbose) {
  const folder = mkdtempSync(join(tmpdir(), 'unsinkable-demo-'));
  const fleet = new Fleet(folder, WORKERS, (line) => verbose && console.error(line));
  const stop = Promise.race([fleet.failed, interruption(), exhaustion(limit)]);
  /** @type {(() => void) | undefined} */
  let hideProgress;
  /** @type {unknown} */
  let failure;
  try {
    const endpoint = await Promise.race([fleet.start(), stop]);
    hideProgress = showProgress(tally);
    await sail({ fleet, endpoint, tally, seed, stop });
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
      : `OK: ${tally.requests} requests, ${tally.right} right answers, over ${tally.kills.length} kills of everything.`,
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
