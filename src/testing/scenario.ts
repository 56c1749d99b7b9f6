/**
 * One run of a plan, in two phases, whatever the pattern.
 *
 * First chaos: operations and faults as planned, every invariant after every step. Then liveness: a
 * viable core is healed, the rest stays broken for ever, and everything the core was asked, before and
 * now, must end within a stated bound.
 */
import type { Instant } from '../core/machine.ts';
import { countLost } from './effects.ts';
import type { PlannedFault } from './faults.ts';
import { breakForEver, heal, isUp, kindOf, type Role } from './roles.ts';
import type { Stage } from './stage.ts';
import type { RunResult } from './suite.ts';
import { requireThat, Violation } from './violation.ts';

/** How often it is looked whether all is over. */
const SLICE = 100;

/** What only the pattern can say of a result. */
export type Verdict = Pick<RunResult, 'completed' | 'disturbed'>;

/** A pattern's suite says in the abstract methods what its phases are; the rest is here. */
export abstract class Scenario<Fault extends PlannedFault = PlannedFault> {
  /** Who is healed; undefined before that. */
  #core: ReadonlySet<string> | undefined;
  #faults = 0;
  readonly #stage: Stage;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** Operations and faults. */
  protected abstract chaos(): void;
  /** The core is healed, and must do what it was asked. */
  protected abstract liveness(): void;
  protected abstract verdict(): Verdict;
  /** All that faults can hit. */
  protected abstract readonly roles: readonly Role[];
  /** Whom a role has links to. */
  protected abstract peersOf(role: Role): readonly Role[];
  /** Does a fault; false if there was nothing to do it to. */
  protected abstract inflict(fault: Fault, role: Role): boolean;

  /** Both phases. @throws nothing: a violation is part of the result */
  run(): RunResult {
    let violation: Violation | undefined;
    try {
      this.chaos();
      this.liveness();
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      violation = error;
    }
    return this.#result(violation);
  }

  // The first phase

  /** Each fault happens in its time, and counts for the matrix if it finds somebody. */
  protected scheduleFaults(faults: readonly Fault[]): void {
    const { world } = this.#stage;
    for (const fault of faults) {
      world.schedule(fault.at, () => {
        const role = this.#roleOf(fault.target);
        const cell = `${fault.kind} × ${kindOf(role)} ${role.state}`;
        if (!this.inflict(fault, role)) return;
        this.#faults++;
        this.#stage.count(cell);
      });
    }
  }

  /** Whom a fault hits: numbers beyond those who are there begin anew. */
  #roleOf(target: string): Role {
    const [kind, number = '0'] = target.split('-');
    const able = this.roles.filter((role) => kindOf(role) === kind);
    return able[Number(number) % able.length]!;
  }

  // The second phase

  /** True for those who are up, and not left broken for ever. */
  protected isJudged(role: Role): boolean {
    return isUp(role) && this.#core?.has(role.name) !== false;
  }

  /** Who is not of the core stays as it is, if it is broken, or breaks now; partitions end. */
  protected breakTheRest(core: readonly Role[]): void {
    this.#stage.isHealed = true;
    this.#core = new Set(core.map(({ name }) => name));
    this.#stage.network.healAll();
    for (const role of this.roles) {
      if (this.#core.has(role.name) || !isUp(role)) continue;
      breakForEver(this.#stage, role, this.peersOf(role));
    }
  }

  /** Takes back what was done to a role of the core, and to its links to `peers`. */
  protected heal(role: Role, peers = this.peersOf(role)): void {
    heal(this.#stage, role, peers);
  }

  /** Runs on until all is over, at most until `limit`. */
  protected runUntil(isQuiet: () => boolean, limit: Instant): void {
    const { world } = this.#stage;
    do world.run(world.now + SLICE);
    while (!isQuiet() && world.now < limit);
  }

  /** Who has nothing to do ends when it is asked to, within `patience` milliseconds. */
  protected checkDrains(roles: readonly Role[], patience: number): void {
    // A restart may be due: it is the present processes that end.
    const processes = roles.map(({ process }) => process);
    for (const role of roles) role.drain();
    const limit = this.#stage.world.now + patience;
    this.runUntil(() => processes.every(({ isOver }) => isOver), limit);
    for (const { name, isOver } of processes) {
      requireThat(isOver, 'quiescence', () => `${name} has nothing to do, and does not end`);
    }
  }

  #result(violation: Violation | undefined): RunResult {
    const { world, tally, network } = this.#stage;
    const { effects, trace } = world;
    if (
      violation === undefined &&
      effects.sent !== effects.delivered + countLost(effects) + network.inTransit()
    ) {
      throw new Error('the simulated network lost count of its messages');
    }
    return {
      violation,
      trace: trace.digest,
      effects: { ...effects },
      tally: Object.fromEntries(tally),
      faults: this.#faults,
      ...this.verdict(),
      virtualTime: world.now,
    };
  }
}

/** Nothing is left of what has ended. */
export function requireNone(left: number, what: string): void {
  requireThat(left === 0, 'quiescence', () => `${left} ${what} are remembered`);
}
