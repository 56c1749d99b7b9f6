/**
 * A fault-injection suite: many plans from one seed, each run on the simulator, with gates that fail
 * the suite when it did not test what it claims to test.
 */
import fc from 'fast-check';
import { addEffects, noEffects, type Effects } from './effects.ts';
import { Transcript, type FormatFrames } from './transcript.ts';
import { Violation } from './violation.ts';

/** What one run gives. */
export interface RunResult {
  readonly violation: Violation | undefined;
  /** Hash of everything that happened: the same plan gives the same one. */
  readonly trace: string;
  readonly effects: Effects;
  /** How often each thing happened, besides what the network counts. */
  readonly tally: Readonly<Record<string, number>>;
  /** Faults that were done to somebody who was there. */
  readonly faults: number;
  /** Operations that ended well. */
  readonly completed: number;
  /** Whether the pattern had to recover from something. */
  readonly disturbed: boolean;
  /** Milliseconds of the simulated world. */
  readonly virtualTime: number;
}

/** A pattern's suite. */
export interface Suite<Plan> {
  readonly name: string;
  readonly plans: fc.Arbitrary<Plan>;
  run(plan: Plan, transcript?: Transcript): RunResult;
  /** Things that must have happened at least once: names of effects and tallies. */
  readonly probes: readonly string[];
  /** Cells of the fault × state matrix that need `CELL_FLOOR` hits each. */
  readonly cells: readonly string[];
  /** How a transcript shows messages. Default: their frames. */
  readonly format?: FormatFrames;
}

export interface SuiteOptions {
  readonly schedules: number;
  readonly seed: number;
  /** Called now and then with the number of schedules done. */
  readonly onProgress?: (done: number) => void;
  /** Milliseconds after which no further schedule begins. */
  readonly timeLimit?: number;
}

/** A failing plan, shrunk: what `test/repro` keeps and `--replay` reads. */
export interface Repro {
  readonly suite: string;
  readonly seed: number;
  readonly invariant: string;
  readonly message: string;
  readonly plan: unknown;
  readonly transcript: readonly string[];
}

export interface SuiteReport {
  readonly suite: string;
  readonly seed: number;
  readonly schedules: number;
  readonly seconds: number;
  /** Years of simulated time. */
  readonly virtualYears: number;
  readonly effects: Effects;
  readonly tally: Readonly<Record<string, number>>;
  readonly determinismChecks: number;
  readonly repro: Repro | undefined;
  /** Gates that were not reached; empty when the suite is worth its name. */
  readonly shortfalls: readonly string[];
}

/** Below this many schedules chance decides which rare things happen: gates are not judged. */
export const GATED_FROM = 5000;

/** Hits that each required cell of the matrix needs. */
export const CELL_FLOOR = 50;

/** Runs spent on making a failing plan smaller. */
const SHRINK_LIMIT = 2000;

const MS_PER_YEAR = 365.25 * 24 * 3600 * 1000;

/** Runs `options.schedules` plans. A violation ends the suite with a shrunk plan in the report. */
export function runSuite<Plan>(suite: Suite<Plan>, options: SuiteOptions): SuiteReport {
  const tally = new SuiteTally();
  const started = performance.now();
  const { schedules, seed, timeLimit = Infinity } = options;
  let shrinks = -1;
  const property = fc.property(suite.plans, (plan) => {
    if (shrinks >= 0 && shrinks++ > SHRINK_LIMIT) return;
    const result = suite.run(plan);
    if (shrinks < 0) {
      tally.add(result);
      if (tally.runs % 100 === 0) {
        tally.check(suite.run(plan).trace === result.trace);
        options.onProgress?.(tally.runs);
      }
    }
    if (result.violation === undefined) return;
    shrinks = Math.max(shrinks, 0);
    throw result.violation;
  });
  const outcome = fc.check(property, {
    numRuns: schedules,
    seed,
    interruptAfterTimeLimit: Math.min(timeLimit, 2 ** 31 - 1),
    markInterruptAsFailure: false,
  });
  const repro =
    outcome.counterexample === null
      ? undefined
      : reproduce(suite, seed, outcome.counterexample[0], outcome.errorInstance);
  return {
    suite: suite.name,
    seed,
    schedules: tally.runs,
    seconds: (performance.now() - started) / 1000,
    virtualYears: tally.virtualTime / MS_PER_YEAR,
    effects: tally.effects,
    tally: Object.fromEntries([...tally.counts].toSorted(([a], [b]) => a.localeCompare(b))),
    determinismChecks: tally.checks,
    repro,
    shortfalls: repro === undefined ? tally.shortfalls(suite) : [],
  };
}

/** Runs a plan once more, with a transcript. */
export function replay<Plan>(
  suite: Suite<Plan>,
  plan: Plan,
): { readonly violation: Violation | undefined; readonly transcript: readonly string[] } {
  const transcript = new Transcript(suite.format);
  const { violation } = suite.run(plan, transcript);
  return { violation, transcript: transcript.lines };
}

function reproduce<Plan>(suite: Suite<Plan>, seed: number, plan: Plan, cause: unknown): Repro {
  const { violation, transcript } = replay(suite, plan);
  const found = violation ?? (cause instanceof Violation ? cause : undefined);
  // Not a broken invariant but a broken suite: that must not look like a result.
  if (found === undefined) throw cause;
  const { invariant, message } = found;
  return { suite: suite.name, seed, invariant, message, plan, transcript };
}

/** What all runs of a suite did together. */
class SuiteTally {
  runs = 0;
  checks = 0;
  virtualTime = 0;
  readonly effects = noEffects();
  readonly counts = new Map<string, number>();
  #deterministic = true;
  #completed = 0;
  #disturbed = 0;
  readonly #deliveries: number[] = [];
  readonly #faults: number[] = [];

  add(result: RunResult): void {
    this.runs++;
    this.virtualTime += result.virtualTime;
    addEffects(this.effects, result.effects);
    for (const [name, count] of Object.entries(result.tally)) {
      this.counts.set(name, (this.counts.get(name) ?? 0) + count);
    }
    if (result.completed > 0) this.#completed++;
    if (result.disturbed) this.#disturbed++;
    this.#deliveries.push(result.effects.delivered);
    this.#faults.push(result.faults);
  }

  check(isSame: boolean): void {
    this.checks++;
    if (!isSame) this.#deterministic = false;
  }

  shortfalls(suite: Pick<Suite<unknown>, 'probes' | 'cells'>): string[] {
    const found: string[] = [];
    const demand = (holds: boolean, text: string): void => {
      if (!holds) found.push(text);
    };
    demand(this.runs > 0, 'no schedule was run');
    demand(this.#deterministic, 'the same plan gave two histories');
    if (this.runs < GATED_FROM) return found;
    const share = (count: number): string => `${((100 * count) / this.runs).toFixed(1)} %`;
    demand(
      this.#completed >= 0.95 * this.runs,
      `${share(this.#completed)} of the runs completed an operation, 95 % are needed`,
    );
    demand(
      this.#disturbed >= 0.2 * this.runs,
      `${share(this.#disturbed)} of the runs had to recover, 20 % are needed`,
    );
    const deliveries = median(this.#deliveries);
    demand(deliveries >= 200, `the median run has ${deliveries} deliveries, 200 are needed`);
    const faults = median(this.#faults);
    demand(faults >= 2, `the median run has ${faults} faults with effect, 2 are needed`);
    for (const probe of suite.probes) demand(this.#countOf(probe) > 0, `never happened: ${probe}`);
    for (const cell of suite.cells) {
      const hits = this.#countOf(cell);
      demand(hits >= CELL_FLOOR, `${cell}: ${hits} hits, ${CELL_FLOOR} are needed`);
    }
    return found;
  }

  #countOf(name: string): number {
    const effects: Readonly<Record<string, number>> = { ...this.effects };
    return effects[name] ?? this.counts.get(name) ?? 0;
  }
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}
