// @ts-check
/**
 * The demo of Clone: replicas of one map, all of which write, over links that are cut at random, while the
 * server that serves is killed with SIGKILL. In the end all have the same, and nothing acknowledged is lost.
 *
 *   npm run demo:clone [-- --updates 100000 --replicas 10]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { messageOf } from '../files.js';
import { interruption, Interruption } from '../interruption.js';
import { Fleet } from './fleet.js';
import { showProgress, showResult } from './screen.js';
import { Tally } from './tally.js';
import { sail } from './voyage.js';

/** @returns {Promise<number>} the exit code */
async function main() {
  const command = new Command('demo:clone')
    .description(
      'Replicas of one map write all at once, while their links are cut at random, and the server that serves, one of a pair, is killed with SIGKILL and started again. Exit code 1 if an update that was acknowledged is lost, if a gap stays, or if a replica ends up with another map.',
    )
    .option('--updates <number>', 'of all replicas together', wholeNumber(10), 100_000)
    .option('--replicas <number>', 'clients that write and follow', wholeNumber(1), 10)
    .option('--kills <number>', 'how often', wholeNumber(1), 2)
    .option('--seed <number>', 'decides when which link is cut', wholeNumber(0), 1)
    .option('--seconds <number>', 'give up after this time', wholeNumber(1), 180)
    .option('--verbose', 'tell each start and kill, with its process id, on stderr')
    .exitOverride();
  try {
    command.parse();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : 2;
  }
  const { updates, replicas, kills, seed, seconds, verbose } = command.opts();
  console.log(
    `${replicas} replicas make ${updates} updates of one map, over links that are cut at random. The server\nis killed with SIGKILL ${kills} times. Nothing may be lost, and all must have the same in the end.`,
  );
  const tally = new Tally(updates, replicas, kills);
  return await run(tally, { seed, limit: seconds * 1000 }, verbose === true);
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
 * @param {{ seed: number, limit: number }} settings the limit in milliseconds
 * @param {boolean} verbose
 * @returns {Promise<number>} the exit code
 */
async function run(tally, { seed, limit }, verbose) {
  const folder = mkdtempSync(join(tmpdir(), 'unsinkable-demo-'));
  const fleet = new Fleet(folder, (line) => verbose && console.error(line));
  const stop = Promise.race([fleet.failed, interruption(), exhaustion(limit)]);
  /** @type {(() => void) | undefined} */
  let hideProgress;
  /** @type {unknown} */
  let failure;
  try {
    const endpoints = await Promise.race([fleet.startPair(), stop]);
    hideProgress = showProgress(tally);
    await sail({ fleet, endpoints, tally, seed, stop });
  } catch (error) {
    failure = error;
  }
  hideProgress?.();
  await fleet.end();
  rmSync(folder, { recursive: true, force: true });
  if (failure instanceof Interruption) return failure.exitCode;
  if (failure !== undefined) tally.failure = messageOf(failure);
  showResult(tally);
  const { failures } = tally;
  console.log(
    failures.length > 0
      ? `FAILED: ${failures.join('; ')}.`
      : `OK: ${tally.acknowledged} updates, ${tally.replicas} equal replicas (digest ${tally.digest}), ${tally.gaps} gaps found and repaired, 0 lost.`,
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
