/**
 * Every crash point of a small workload.
 *
 * A crash takes what a process remembers, so that only two things matter: what is on the disk, or half on
 * it, and what the world has heard. A workload runs once without a crash to learn when either changes;
 * then once for each such moment, and for each effect within a turn, with a crash there: twice where a
 * commit is under way, which is there afterwards, or is not.
 */
import type { Violation } from '../violation.ts';
import type { PlannedOperation, PlannedRequest, TitanicPlan } from './plan.ts';
import { TitanicRun } from './run.ts';
import { TitanicStage } from './stage.ts';

/** One thing that somebody asks of the Titanic. */
export interface WorkloadStep {
  readonly kind: PlannedOperation['kind'];
  readonly request: number;
}

/** Where a run crashes: when so many events have happened, or so many effects. */
interface CrashPoint {
  readonly events?: number;
  readonly effects?: number;
  /** What becomes of a commit that is under way. */
  readonly isKept: boolean;
}

/** How many runs it took, and what was found. */
export interface CrashReport {
  readonly runs: number;
  readonly violation: Violation | undefined;
  readonly point: string;
}

/** Milliseconds in which a workload without a crash is over. */
const LENGTH = 120;

/** Milliseconds until a process that crashed is there again. */
const REST = 3;

/** Runs a workload, and crashes at each of its points in turn, up to the first violation. */
export function crashEverywhere(
  requests: readonly PlannedRequest[],
  steps: readonly WorkloadStep[],
  pace: number,
): CrashReport {
  const plan = planOf(requests, steps, pace);
  const clean = new CrashRun(plan, undefined);
  let { violation } = clean.run();
  let runs = 1;
  const crash = (point: CrashPoint): CrashReport | undefined => {
    const run = new CrashRun(plan, point);
    ({ violation } = run.run());
    runs++;
    const where = JSON.stringify({ steps, pace, point });
    if (violation !== undefined) return { runs, violation, point: where };
    return point.isKept && run.wasTorn ? crash({ ...point, isKept: false }) : undefined;
  };
  if (violation !== undefined) return { runs, violation, point: 'without a crash' };
  for (const events of clean.moments) {
    const found = crash({ events, isKept: true });
    if (found !== undefined) return found;
  }
  for (let effects = 0; effects < clean.effects; effects++) {
    const found = crash({ effects, isKept: true });
    if (found !== undefined) return found;
  }
  return { runs, violation: undefined, point: '' };
}

class CrashRun extends TitanicRun {
  readonly #point: CrashPoint | undefined;
  /** Events after which the disk, or what the world has heard, was another. */
  readonly moments: number[] = [];
  /** A commit was under way in the crash. */
  wasTorn = false;

  constructor(plan: TitanicPlan, point: CrashPoint | undefined) {
    super(new TitanicStage(plan, undefined, { isKept: () => point?.isKept === true }));
    this.#point = point;
  }

  /** How many effects the Titanic had before anything is proven. */
  effects = 0;

  protected override chaos(): void {
    const { world, plan } = this.stage;
    const { process } = this.titanic;
    for (const operation of plan.operations) {
      world.schedule(operation.at, () => this.clients.operate(operation));
    }
    const point = this.#point;
    if (point === undefined) return this.#learn();
    if (point.effects !== undefined) process.crashAfterEffects(point.effects);
    const { events = Infinity } = point;
    while (!process.isOver && world.now < LENGTH && world.steps < events && world.step());
    if (!process.isOver) process.crash();
    this.wasTorn = this.#torn > 0;
    world.after(REST, () => this.titanic.start());
    world.run(world.now + LENGTH);
  }

  protected override liveness(): void {
    this.stage.isHealed = true;
    this.awaitOpening();
    this.awaitEnds();
    this.checkAgreement();
    const { world, channel } = this.stage;
    this.runUntil(() => channel.inTransit === 0, world.now + LENGTH);
  }

  get #torn(): number {
    const { tally } = this.stage;
    return (tally.get('disk.tornCommitKept') ?? 0) + (tally.get('disk.tornCommitLost') ?? 0);
  }

  #learn(): void {
    const { world } = this.stage;
    let before = '';
    while (world.next <= LENGTH && world.step()) {
      const after = this.#signature;
      if (after !== before) this.moments.push(world.steps);
      before = after;
    }
    this.effects = this.stage.effects + this.stage.commits;
  }

  get #signature(): string {
    const { world, disk, commits } = this.stage;
    return `${world.effects.sent} ${world.effects.delivered} ${commits} ${disk.isWriting}`;
  }
}

function planOf(
  requests: readonly PlannedRequest[],
  steps: readonly WorkloadStep[],
  pace: number,
): TitanicPlan {
  return {
    seed: 1,
    settings: {
      concurrency: 2,
      attemptTimeout: 40,
      retries: 1,
      backoff: 2,
      absence: 2,
      pendingLimit: 1_000_000,
      pendingBytes: 1_000_000,
      waiterLimit: 10,
      retentionAge: 1_000_000_000,
      retentionCount: 1,
      retentionBytes: 1_000_000,
      closedAge: 1_000_000_000,
      closedCount: 10,
      durability: 'fsync',
      cacheBytes: 0,
      commitBytes: 1_000_000,
      commitTime: 2,
      jitter: 0.5,
      loss: 0,
      twice: 0,
      late: 0,
      lateTimers: false,
    },
    requests,
    operations: steps.map((step, index) => ({ ...step, at: 2 + index * pace, wait: 30 })),
    faults: [],
    probePace: 0,
  };
}
