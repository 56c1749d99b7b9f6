// @ts-check
/**
 * The demo: hashes every file of a folder on three worker processes, through a broker, while killing
 * workers and broker with SIGKILL at the moments when they hold requests. Nothing may be lost or wrong.
 *
 *   npm run demo [-- DIR]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Command, CommanderError } from 'commander';
import { findFiles, messageOf } from './files.js';
import { Fleet } from './fleet.js';
import { hashAndKill } from './hashing.js';
import { interruption, Interruption } from './interruption.js';
import { showProgress, showResult } from './screen.js';
import { GOAL, Tally } from './tally.js';

const WORKERS = 3;

/** @returns {Promise<number>} the exit code */
async function main() {
  const command = new Command('demo')
    .description(
      `Hashes every file of DIR on ${WORKERS} worker processes, in passes, until ${GOAL.workers} workers and ${GOAL.brokers} brokers were killed with SIGKILL while holding requests. Exit code 1 if a request was lost or wrong.`,
    )
    .argument('[DIR]', 'the folder', 'node_modules')
    .option('--seconds <number>', 'give up on the kills after this time', Number, 40)
    .option('--verbose', 'tell each start and kill, with its process id, on stderr')
    .exitOverride();
  try {
    command.parse();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : 2;
  }
  const { seconds, verbose } = command.opts();
  if (!(seconds > 0)) return misused('--seconds must be a number above 0');
  const folder = resolve(command.processedArgs[0]);
  /** @type {Map<string, unknown>} */
  const unreadable = new Map();
  /** @type {string[]} */
  let files;
  try {
    files = await findFiles(folder, (path, error) => unreadable.set(path, error));
  } catch (error) {
    return misused(`cannot read the folder ${folder}: ${messageOf(error)}`);
  }
  if (files.length === 0) return misused(`there is no file to hash in ${folder}`);
  const count = files.length === 1 ? '1 file' : `${files.length} files`;
  console.log(
    `${folder} has ${count}: to be hashed on ${WORKERS} workers, again and again, until ${GOAL.workers} workers and\n${GOAL.brokers} brokers have been killed with SIGKILL while holding requests. Nothing may be lost or wrong.`,
  );
  const tally = new Tally(files.length);
  for (const [path, error] of unreadable) tally.skip(path, error);
  return await run(files, tally, seconds * 1000, verbose === true);
}

/** @param {string} message */
function misused(message) {
  console.error(`error: ${message}`);
  return 2;
}

/**
 * @param {readonly string[]} files
 * @param {Tally} tally
 * @param {number} limit milliseconds
 * @param {boolean} verbose
 * @returns {Promise<number>} the exit code
 */
async function run(files, tally, limit, verbose) {
  const folder = mkdtempSync(join(tmpdir(), 'unsinkable-demo-'));
  const anywhere = process.platform === 'win32' ? 'tcp://127.0.0.1:*' : `ipc://${folder}/broker`;
  const fleet = new Fleet(anywhere, (line) => verbose && console.error(line));
  const stop = Promise.race([fleet.failed, interruption()]);
  /** @type {(() => void) | undefined} */
  let hideProgress;
  /** @type {unknown} */
  let failure;
  try {
    const endpoint = await Promise.race([fleet.start(WORKERS), stop]);
    hideProgress = showProgress(tally);
    await hashAndKill({ files, fleet, endpoint, tally, limit, stop });
  } catch (error) {
    failure = error;
  }
  hideProgress?.();
  await fleet.end();
  rmSync(folder, { recursive: true, force: true });
  if (failure instanceof Interruption) return failure.exitCode;
  if (failure !== undefined) tally.failure = messageOf(failure);
  showResult(tally, fleet.requeued);
  const { failures } = tally;
  console.log(
    failures.length > 0
      ? `FAILED: ${failures.join('; ')}.`
      : `OK: every request was answered, and rightly, over ${tally.workersKilled} killed workers and ${tally.brokersKilled} killed brokers.`,
  );
  return failures.length > 0 ? 1 : 0;
}

process.exitCode = await main();
