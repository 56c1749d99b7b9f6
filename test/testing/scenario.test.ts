/** The base of suites: faults as they are drawn and done, and roles that are healed or broken for ever. */
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  COMMON_FAULTS,
  faultPlans,
  inflict,
  type CommonFault,
  type PlannedFault,
} from '../../src/testing/faults.ts';
import { breakForEver, drainAndRestart, heal, isUp, type Role } from '../../src/testing/roles.ts';
import { Scenario } from '../../src/testing/scenario.ts';
import type { SimProcess } from '../../src/testing/sim-process.ts';
import { Stage } from '../../src/testing/stage.ts';
import { requireThat } from '../../src/testing/violation.ts';

/** A role that does nothing but live, and ends when it is told to twice. */
class IdleRole implements Role {
  readonly name: string;
  readonly state = 'idle';
  isDraining = false;
  process!: SimProcess;
  starts = 0;
  readonly #stage: Stage;

  constructor(stage: Stage, name: string) {
    this.#stage = stage;
    this.name = name;
    this.start();
  }

  start(): void {
    this.process = this.#stage.world.start(this.name, this.#stage.processOptions());
    this.isDraining = false;
    this.starts++;
  }

  drain(): void {
    this.isDraining = true;
  }

  stop(): void {
    this.process.exit();
  }
}

let stage: Stage;
let worker: IdleRole;
let queue: IdleRole;

beforeEach(() => {
  stage = new Stage({ seed: 1, lateTimers: false, network: {} });
  worker = new IdleRole(stage, 'worker-0');
  queue = new IdleRole(stage, 'queue');
  stage.network
    .transport(queue.process)
    .open('router', { onMessage: () => undefined, onPeerGone: () => undefined })
    .bind('tcp://queue:1', () => undefined);
  stage.network
    .transport(worker.process)
    .open('dealer', { onMessage: () => undefined, onPeerGone: () => undefined })
    .connect('tcp://queue:1');
  stage.world.run(50);
});

function fault(kind: CommonFault, count = 1): PlannedFault<CommonFault> {
  return { at: 0, kind, target: 'worker-0', duration: 100, count };
}

describe('faults', () => {
  test.each(COMMON_FAULTS)(
    '%s finds a role that is up and linked, and nobody who is down',
    (kind) => {
      expect(inflict(stage, fault(kind), worker, [queue])).toBe(true);
      worker.process.crash();
      expect(inflict(stage, fault(kind), worker, [queue])).toBe(false);
    },
  );

  test.each(['crash', 'stop', 'drain'] as const)('after %s the role comes back', (kind) => {
    inflict(stage, fault(kind), worker, [queue]);
    stage.world.run(1000);
    expect(worker.starts).toBe(2);
    expect(isUp(worker)).toBe(true);
  });

  test('are of a random subset of kinds, which names none that there is not', () => {
    const plans = faultPlans(['a', 'b', 'c', 'd'], ['x'], 500);
    const drawn = fc.sample(plans, { numRuns: 200, seed: 1 });
    const kinds = new Set(drawn.flat().map(({ kind }) => kind));
    expect([...kinds].toSorted()).toEqual(['a', 'b', 'c', 'd']);
    expect(drawn.every(({ length }) => length >= 2 && length <= 6)).toBe(true);
    expect(drawn.flat().every(({ at }) => at <= 500)).toBe(true);
  });
});

describe('a role', () => {
  test('that is healed runs, reads and sends, whatever was done to it', () => {
    worker.process.crashAfterEffects(0);
    worker.process.pauseBeforeSend(1000);
    worker.process.stopReading(1000);
    worker.process.pause();
    heal(stage, worker, [queue]);
    const turns: string[] = [];
    worker.process.run(() => worker.process.atTurnEnd(() => turns.push('sent')));
    stage.world.run(60);
    expect(turns).toEqual(['sent']);
    expect(worker.process.spendEffect()).toBe(true);
    expect(worker.starts).toBe(1);
  });

  test('that is draining when it is healed begins anew', () => {
    worker.drain();
    heal(stage, worker, [queue]);
    expect(worker.starts).toBe(2);
    expect(worker.isDraining).toBe(false);
  });

  test('that does not end in time is stopped', () => {
    drainAndRestart(stage, worker, 100, 50);
    stage.world.run(140);
    expect(isUp(worker)).toBe(true);
    stage.world.run(151);
    expect(isUp(worker)).toBe(false);
    stage.world.run(201);
    expect(worker.starts).toBe(2);
  });

  test('breaks for ever in every way, or stays as it is', () => {
    const fates = new Set<string>();
    for (let round = 0; round < 60; round++) {
      if (!isUp(worker)) worker.start();
      worker.process.resume();
      breakForEver(stage, worker, [queue]);
      fates.add(isUp(worker) ? (worker.process.isRunning ? 'runs' : 'paused') : 'crashed');
    }
    expect([...fates].toSorted()).toEqual(['crashed', 'paused', 'runs']);
  });
});

describe('a scenario', () => {
  class Run extends Scenario {
    protected readonly roles: readonly Role[] = [worker, queue];
    judged: readonly Role[] = [];
    readonly #phases: readonly (() => void)[];

    constructor(...phases: readonly (() => void)[]) {
      super(stage);
      this.#phases = phases;
    }

    protected chaos(): void {
      this.scheduleFaults([fault('pause'), { ...fault('reset'), target: 'worker-7' }]);
      stage.world.run(stage.world.now + 10);
      this.#phases[0]?.();
    }

    protected liveness(): void {
      this.breakTheRest([queue]);
      this.judged = this.roles.filter((role) => this.isJudged(role));
      this.#phases[1]?.();
      this.checkDrains([queue], 100);
    }

    protected verdict() {
      return { completed: 1, disturbed: false };
    }

    protected peersOf(role: Role): readonly Role[] {
      return role === queue ? [worker] : [queue];
    }

    protected inflict(planned: PlannedFault, role: Role): boolean {
      return inflict(stage, { ...planned, kind: planned.kind as CommonFault }, role, [queue]);
    }
  }

  test('counts the cells of faults that found somebody, numbers beginning anew', () => {
    queue.drain = () => queue.process.exit();
    const run = new Run();
    const { violation, faults, tally } = run.run();
    expect(violation).toBeUndefined();
    expect(run.judged).toEqual([queue]);
    expect(faults).toBe(2);
    expect(tally).toEqual({ 'pause × worker idle': 1, 'reset × worker idle': 1 });
  });

  test('demands that who has nothing to do ends', () => {
    expect(new Run().run().violation?.invariant).toBe('quiescence');
  });

  test('gives a broken invariant as its result, and throws all else', () => {
    const broken = new Run(() => requireThat(false, 'an invariant', () => 'broken'));
    expect(broken.run().violation?.invariant).toBe('an invariant');
    const flawed = new Run(() => {
      throw new TypeError('a flaw of the suite');
    });
    expect(() => flawed.run()).toThrow(TypeError);
  });
});
