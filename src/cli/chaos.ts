/** `unsinkable chaos`: the fault-injection suites at length, or one stored failure once more. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createHash, randomInt } from 'node:crypto';
import { dirname } from 'node:path';
import { SingleBar } from 'cli-progress';
import type { Command } from 'commander';
import { count, such } from '../core/options.ts';
import type { Repro, Suite, SuiteReport } from '../testing/suite.ts';
import { CommandFailure, UsageError } from './failure.ts';
import { numeric } from './options.ts';
import { writeOutput } from './output.ts';

interface ChaosFlags {
  readonly schedules: number;
  readonly seed?: number;
  readonly minutes?: number;
  readonly replay?: string;
  readonly report?: string;
}

type Testing = typeof import('../testing/index.ts');

const HELP = `
Runs the real machines on a simulated network, clock and processes under random faults, and checks
every invariant after every step. It fails when an invariant is broken, and also when the faults did
not bite: see docs/fault-injection.md. A failing plan is shrunk and written to test/repro; --replay
shows it again, step by step.

Examples:
  $ unsinkable chaos majordomo
  $ unsinkable chaos majordomo --schedules 1000000 --minutes 60 --report report.json
  $ unsinkable chaos --replay test/repro/majordomo-1a2b3c4d.json`;

const SEED = such<number | undefined>(undefined, 'a whole number below 2³¹', (value) => {
  return count(0, 0).accepts(value) && Number(value) < 2 ** 31;
});
const MINUTES = such<number | undefined>(undefined, 'a number of minutes above 0', (value) => {
  return typeof value === 'number' && Number.isFinite(value) && value > 0;
});

/** Adds the command. */
export function addChaos(program: Command): void {
  program
    .command('chaos')
    .description('the fault-injection suite: random schedules on the simulator')
    .argument('[pattern]', 'the suite to run (default: all)')
    .addOption(numeric('--schedules <count>', 'how many schedules to run', count(20_000)))
    .addOption(numeric('--seed <number>', 'the seed of the schedules (default: a fresh one)', SEED))
    .addOption(
      numeric('--minutes <number>', 'stop after so many, whatever --schedules says', MINUTES),
    )
    .option('--replay <file>', 'run one stored plan, and print its transcript')
    .option('--report <file>', 'write the whole report as JSON')
    .addHelpText('after', HELP)
    .action((pattern: string | undefined, flags: ChaosFlags) => run(pattern, flags));
}

async function run(pattern: string | undefined, flags: ChaosFlags): Promise<void> {
  const testing = await loadTesting();
  if (flags.replay !== undefined) return await replayFile(testing, flags.replay);
  const known = Object.keys(testing.suites);
  const reports: SuiteReport[] = [];
  for (const name of pattern === undefined ? known : [pattern]) {
    const suite = testing.suites[name];
    if (suite === undefined)
      throw new UsageError(`no suite '${name}': there is ${known.join(', ')}`);
    const report = runOne(testing, suite, flags);
    reports.push(report);
    await writeOutput(`${summary(report)}\n`);
  }
  if (flags.report !== undefined) writeFileSync(flags.report, JSON.stringify(reports, null, 2));
  conclude(reports);
}

function runOne(testing: Testing, suite: Suite<unknown>, flags: ChaosFlags): SuiteReport {
  const { schedules, minutes } = flags;
  const seed = flags.seed ?? randomInt(2 ** 31);
  // No hidden cursor: Ctrl-C ends this command wherever it is, and nobody would show it again.
  const bar = new SingleBar({
    format: `${suite.name}, seed ${seed} [{bar}] {value}/{total} schedules, {eta_formatted} left`,
    hideCursor: null,
    clearOnComplete: true,
  });
  bar.start(schedules, 0);
  const report = testing.runSuite(suite, {
    schedules,
    seed,
    onProgress: (done) => bar.update(done),
    ...(minutes === undefined ? {} : { timeLimit: minutes * 60_000 }),
  });
  bar.stop();
  return report;
}

/** @throws CommandFailure if an invariant was broken or a gate was not reached */
function conclude(reports: readonly SuiteReport[]): void {
  for (const { repro, shortfalls, suite } of reports) {
    if (repro !== undefined) {
      const file = keep(repro);
      const message = `${repro.message}; see it with: unsinkable chaos --replay ${file}`;
      throw new CommandFailure('ERR_VIOLATION', message);
    }
    if (shortfalls.length > 0) {
      const message = `${suite} did not test what it claims: ${shortfalls.join('; ')}`;
      throw new CommandFailure('ERR_GATE_NOT_REACHED', message);
    }
  }
}

/** Stores a failing plan where the test run finds it, under a name that its content decides. */
function keep(repro: Repro): string {
  const hash = createHash('sha256').update(JSON.stringify(repro.plan)).digest('hex').slice(0, 8);
  const file = `test/repro/${repro.suite}-${hash}.json`;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(repro, null, 2)}\n`);
  return file;
}

function summary(report: SuiteReport): string {
  const { suite, seed, schedules, seconds, virtualYears, effects, determinismChecks } = report;
  const rate = Math.round(schedules / seconds);
  const lines = [
    `${suite}: ${schedules} schedules from seed ${seed} in ${seconds.toFixed(1)} s (${rate}/s)`,
    `  ${effects.delivered} messages delivered in ${(virtualYears * 365.25).toFixed(2)} days of virtual time`,
    `  ${determinismChecks} plans run twice`,
    ...Object.entries({ ...effects, ...report.tally }).map(
      ([name, times]) => `  ${name}: ${times}`,
    ),
  ];
  const verdict = report.repro === undefined ? 'no invariant was broken' : report.repro.message;
  return [...lines, `${suite}: ${verdict}`].join('\n');
}

async function replayFile(testing: Testing, file: string): Promise<void> {
  const { suite: name, plan } = readRepro(file);
  const suite = testing.suites[name];
  if (suite === undefined) throw new UsageError(`${file}: there is no suite '${name}' here`);
  const { violation, transcript } = testing.replay(suite, plan);
  await writeOutput(`${transcript.join('\n')}\n`);
  if (violation !== undefined) throw new CommandFailure('ERR_VIOLATION', violation.message);
  await writeOutput('no invariant is broken\n');
}

function readRepro(file: string): Pick<Repro, 'suite' | 'plan'> {
  try {
    const stored: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (typeof stored === 'object' && stored !== null && 'suite' in stored && 'plan' in stored) {
      return { suite: String(stored.suite), plan: stored.plan };
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandFailure('ERR_FILE_UNREADABLE', `${file}: ${reason}`, { cause: error });
  }
  throw new CommandFailure(
    'ERR_FILE_UNREADABLE',
    `${file} is not a stored plan: no suite and plan`,
  );
}

/** fast-check is an optional peer of the package: most users never run this command. */
async function loadTesting(): Promise<Testing> {
  try {
    return await import('../testing/index.ts');
  } catch (error) {
    const message = "this command needs fast-check: run 'npm install fast-check'";
    if (error instanceof Error && error.message.includes('fast-check')) {
      throw new CommandFailure('ERR_MISSING_DEPENDENCY', message, { cause: error });
    }
    throw error;
  }
}
