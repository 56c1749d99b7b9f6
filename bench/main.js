// The benchmarks' command line: runs them one after the other, shows tables and writes JSON.
import { mkdirSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, CommanderError } from 'commander';
import * as binaryStar from './benchmarks/binary-star.js';
import * as cloneRepair from './benchmarks/clone-repair.js';
import * as cloneSnapshot from './benchmarks/clone-snapshot.js';
import * as clone from './benchmarks/clone.js';
import * as failover from './benchmarks/failover.js';
import * as freelance from './benchmarks/freelance.js';
import * as idle from './benchmarks/idle.js';
import * as largeBody from './benchmarks/large-body.js';
import * as pirate from './benchmarks/pirate.js';
import * as requestReply from './benchmarks/request-reply.js';
import * as titanicRecovery from './benchmarks/titanic-recovery.js';
import * as titanic from './benchmarks/titanic.js';
import { checkName, whole } from './harness/arguments.js';
import { Fleet } from './harness/fleet.js';
import { describeMachine } from './harness/machine.js';
import { showHottest } from './harness/profile.js';
import { progress, showFacts, showTable } from './harness/screen.js';

const BENCHMARKS = {
  'request-reply': requestReply,
  'large-body': largeBody,
  failover,
  'binary-star': binaryStar,
  idle,
  pirate,
  freelance,
  titanic,
  'titanic-recovery': titanicRecovery,
  clone,
  'clone-snapshot': cloneSnapshot,
  'clone-repair': cloneRepair,
};
const RESULTS = fileURLToPath(new URL('results', import.meta.url));

async function main() {
  const command = commandLine();
  try {
    command.parse();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : 2;
  }
  const options = command.opts();
  const names = command.args.length > 0 ? command.args : Object.keys(BENCHMARKS);
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(':', '-');
  const profiles = options.profile ? join(RESULTS, `${stamp}-profiles`) : undefined;
  const machine = describeMachine();
  showFacts(machine);
  const stopped = interruption();
  const reports = [];
  try {
    for (const name of names) {
      const report = { benchmark: name, machine, ...(await run(name, options, profiles, stopped)) };
      reports.push(report);
      if (options.json === undefined) save(join(RESULTS, `${stamp}-${name}.json`), report);
    }
  } catch (error) {
    if (error instanceof Interruption) return error.exitCode;
    throw error;
  }
  if (options.json !== undefined) save(options.json, reports);
  if (profiles !== undefined) showHottest(profiles);
  return 0;
}

/** Runs one benchmark, and shows what came out. All its processes have ended when this returns. */
async function run(name, options, profiles, stopped) {
  const benchmark = BENCHMARKS[name];
  const fleet = new Fleet(profiles);
  const context = {
    fleet,
    options,
    runs: options.quick ? 1 : options.runs,
    quick: options.quick === true,
    // Of our clients and workers, where a benchmark has nothing else to say.
    common: options.protocol === undefined ? {} : { protocol: options.protocol },
    progress: (text) => progress(`${name}: ${text}`),
  };
  try {
    const result = await Promise.race([benchmark.run(context), fleet.failed, stopped]);
    progress('');
    for (const table of benchmark.tables(result)) if (table.rows.length > 0) showTable(table);
    for (const note of result.notes) console.log(`  ${note}`);
    return { runs: context.runs, ...result };
  } finally {
    progress('');
    await fleet.close();
  }
}

function commandLine() {
  const names = Object.entries(BENCHMARKS).map(([name, { summary }]) => `  ${name}: ${summary}`);
  const command = new Command('npm run bench --')
    .description(`Measures all or the named benchmarks:\n${names.join('\n')}`)
    .argument('[NAMES...]', 'which of them', addName, [])
    .option('--runs <number>', 'of each measurement', whole, 5)
    .option('--quick', 'one short run of each: shows that it works, not how fast it is')
    .option('--json <file>', 'write all results to this file, not to bench/results')
    .option('--protocol <name>', 'of our clients and workers (default: what they choose)')
    .option('--profile', 'let all processes write CPU profiles, and show what they spent it on')
    .exitOverride();
  for (const { addOptions } of Object.values(BENCHMARKS)) addOptions?.(command);
  return command;
}

function addName(name, previous) {
  checkName(name, Object.keys(BENCHMARKS));
  return [...previous, name];
}

function save(file, value) {
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`);
  console.log(`written to ${relative(process.cwd(), file)}`);
}

/** Ctrl-C and the like. */
class Interruption extends Error {
  constructor(signal) {
    super('interrupted');
    this.exitCode = 128 + signal;
  }
}

function interruption() {
  const interrupted = new Promise((_, reject) => {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      process.once(name, () => reject(new Interruption(constants.signals[name])));
    }
  });
  // It may come between two benchmarks.
  interrupted.catch(() => {});
  return interrupted;
}

process.exitCode = await main();
