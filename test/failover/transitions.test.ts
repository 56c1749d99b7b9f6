/** The table of states, and the diagram that is drawn from it. */
import { expect, test } from 'vitest';
import { pairDiagram } from '../../src/failover/diagram.ts';
import {
  PHASES,
  TRANSITIONS,
  transitionOf,
  TRIGGERS,
  type Mode,
  type Phase,
} from '../../src/failover/transitions.ts';

const MODES: readonly Mode[] = ['vote', 'witness', 'stock'];

/** Where one may come from `phase` in one step. */
function reached(phase: Phase, mode: Mode): Set<Phase> {
  const targets = TRIGGERS.map((trigger) => transitionOf(phase, trigger, mode)?.to);
  return new Set(targets.filter((to) => to !== undefined));
}

const before = (mode: Mode): Phase[] =>
  PHASES.filter((phase) => phase !== 'active' && reached(phase, mode).has('active'));

test('what serves stepped over a stored epoch, and with a witness over a claim', () => {
  expect(before('vote')).toEqual(['preparing']);
  expect(before('stock')).toEqual(['preparing']);
  expect(before('witness')).toEqual(['claiming']);
  expect(PHASES.filter((phase) => reached(phase, 'witness').has('claiming'))).toEqual([
    'preparing',
  ]);
  expect(PHASES.filter((phase) => reached(phase, 'vote').has('claiming'))).toEqual([]);
});

test('whoever serves may be told to stop in every mode, and nobody is stuck', () => {
  for (const mode of MODES) {
    for (const trigger of ['higherEpoch', 'resigned'] as const) {
      expect(transitionOf('active', trigger, mode)).toEqual({ to: 'passive', action: 'stepDown' });
    }
    for (const phase of PHASES) {
      if (phase === 'closed') continue;
      expect(transitionOf(phase, 'closed', mode)?.to).toBe('closed');
    }
  }
});

test('two triggers never fight: in each mode a trigger has one meaning', () => {
  for (const row of Object.values(TRANSITIONS)) {
    for (const transitions of Object.values(row)) {
      for (const mode of MODES) {
        const meant = transitions.filter(({ modes }) => modes?.includes(mode) ?? true);
        expect(meant.length).toBeLessThanOrEqual(1);
      }
    }
  }
});

test('nothing happens after the end', () => {
  for (const mode of MODES) expect([...reached('closed', mode)]).toEqual([]);
});

test('the diagram shows every transition, with what is done', () => {
  const diagram = pairDiagram();
  let count = 0;
  for (const phase of PHASES) {
    for (const trigger of TRIGGERS) {
      for (const { to, action } of TRANSITIONS[phase][trigger] ?? []) {
        count++;
        const line = diagram.split('\n').find((each) => {
          return each.startsWith(`  ${phase} --> ${to}: `) && each.includes(trigger);
        });
        expect(line).toContain(action === 'note' ? trigger : `/ ${action}`);
      }
    }
  }
  expect(count).toBeGreaterThan(25);
  expect(diagram.split('\n').slice(0, 4)).toEqual([
    'stateDiagram-v2',
    '  [*] --> waiting',
    '  waiting --> passive: peerHeard',
    '  waiting --> preparing: elected / prepare',
  ]);
});
