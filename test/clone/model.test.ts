/** A client and a server against a map of twenty lines: whatever is done to both, they show the same. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ClientRole } from '../../src/testing/clone/client-role.ts';
import {
  KEYS,
  LONGEST_TIMEOUT,
  SUBTREES,
  type Demand,
  type PlannedWrite,
} from '../../src/testing/clone/plan.ts';
import { ServerRole } from '../../src/testing/clone/server-role.ts';
import { CloneStage } from '../../src/testing/clone/stage.ts';
import { textOf, type Write } from '../../src/testing/clone/writes.ts';
import { endpointOf } from '../../src/testing/majordomo-pair/stage.ts';
import { quietPlan } from './quiet-plan.ts';

/** Milliseconds that every command takes: more than a message there and back. */
const STEP = 60;

/** They end between two steps. */
const TTLS = [STEP * 2 + 30, STEP * 7 + 30];

const FOLLOWED = ['', '/a/', '/a/b/', '/e'] as const;

const plan = quietPlan(FOLLOWED);

/** What a Clone is, on one page. */
class Model {
  readonly items = new Map<string, { readonly value: string; readonly until: number }>();

  set(key: string, value: string, until = Infinity): void {
    this.items.set(key, { value, until });
  }

  delete(key: string): void {
    this.items.delete(key);
  }

  clear(subtree: string): void {
    for (const key of this.under(subtree).keys()) this.items.delete(key);
  }

  passTime(now: number): void {
    for (const [key, { until }] of this.items) if (until <= now) this.items.delete(key);
  }

  under(subtree: string): Map<string, string> {
    const found = [...this.items].filter(
      ([key]) => key === subtree || (/^$|\/$/.test(subtree) && key.startsWith(subtree)),
    );
    return new Map(found.map(([key, { value }]) => [key, value]));
  }
}

/** A server, and a client for each of the subtrees. */
class Real {
  readonly stage: CloneStage;
  readonly server: ServerRole;
  readonly clients: readonly ClientRole[];
  compared = 0;

  constructor(seed: number) {
    this.stage = new CloneStage({ ...plan, seed });
    this.server = new ServerRole(this.stage, 'server-0');
    this.clients = plan.clients.map((client, index) => {
      return new ClientRole(this.stage, `client-${index}`, client, [
        endpointOf('server-0', 'peers'),
      ]);
    });
    this.pass(5 * STEP);
  }

  pass(milliseconds = STEP): void {
    this.stage.world.run(this.stage.world.now + milliseconds);
  }

  /** What became of it. */
  write(fields: Partial<PlannedWrite>): Write {
    const [client] = this.clients;
    client!.issue({
      at: 0,
      client: 0,
      kind: 'set',
      key: 0,
      size: 0,
      ttl: undefined,
      demand: 'none',
      timeout: LONGEST_TIMEOUT,
      abandonAfter: undefined,
      burst: 1,
      ...fields,
    });
    this.pass();
    return [...client!.checker.writes.values()].at(-1)!;
  }

  compare(model: Model): void {
    model.passTime(this.stage.world.now);
    this.clients.forEach(({ machine, subtree }) => {
      const shown = [...machine.replica].map(([key, { value }]) => [key, textOf(value)] as const);
      assert.equal(machine.status().state, 'synchronised');
      assert.deepEqual(new Map(shown), model.under(subtree));
      this.compared++;
    });
  }
}

type CloneCommand = fc.Command<Model, Real>;

/** A command that does this to both, and compares them after it. */
function command(name: string, act: (model: Model, real: Real) => void): CloneCommand {
  return {
    check: () => true,
    run: (model, real) => {
      act(model, real);
      real.compare(model);
    },
    toString: () => name,
  };
}

const keys = fc.nat({ max: KEYS.length - 1 });

const sets = fc
  .record({ key: keys, ttl: fc.constantFrom(undefined, undefined, ...TTLS) })
  .map(({ key, ttl }) =>
    command(`set ${KEYS[key]} for ${ttl}`, (model, real) => {
      const { now } = real.stage.world;
      const { id, outcome } = real.write({ key, ttl });
      assert.equal(outcome?.outcome, 'done');
      model.set(KEYS[key]!, `w${id};`, now + (ttl ?? Infinity));
    }),
  );

const deletes = keys.map((key) =>
  command(`delete ${KEYS[key]}`, (model, real) => {
    assert.equal(real.write({ kind: 'delete', key }).outcome?.outcome, 'done');
    model.delete(KEYS[key]!);
  }),
);

const clears = fc.nat({ max: SUBTREES.length - 1 }).map((subtree) =>
  command(`clear ${SUBTREES[subtree]}`, (model, real) => {
    assert.equal(real.write({ kind: 'clear', key: subtree }).outcome?.outcome, 'done');
    model.clear(SUBTREES[subtree]!);
  }),
);

const swaps = fc
  .record({
    key: keys,
    demand: fc.constantFrom<Demand[]>('seen', 'stale', 'absent'),
    kind: fc.constantFrom('set' as const, 'delete' as const),
  })
  .map(({ key, demand, kind }) =>
    command(`${kind} ${KEYS[key]} if ${demand}`, (model, real) => {
      const isThere = model.items.has(KEYS[key]!);
      const { id, outcome } = real.write({ kind, key, demand });
      const isDue = demand === 'seen' || !isThere;
      assert.equal(outcome?.outcome, isDue ? 'done' : 'refused');
      if (!isDue) return;
      if (kind === 'set') model.set(KEYS[key]!, `w${id};`);
      else model.delete(KEYS[key]!);
    }),
  );

const waits = fc
  .integer({ min: 1, max: 8 })
  .map((steps) => command(`wait ${steps} steps`, (_model, real) => real.pass(steps * STEP)));

test('a client and a map of twenty lines show the same after every command', () => {
  const commands = fc.commands([sets, sets, deletes, clears, swaps, waits], {
    maxCommands: 30,
    size: 'max',
  });
  let compared = 0;
  fc.assert(
    fc.property(fc.nat(), commands, (seed, cmds) => {
      const real = new Real(seed);
      fc.modelRun(() => ({ model: new Model(), real }), cmds);
      compared += real.compared;
    }),
    { numRuns: 150, seed: 20_261_122 },
  );
  expect(compared).toBeGreaterThan(2000);
});
