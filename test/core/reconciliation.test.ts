/** What heartbeats prove to be lost, and what they do not. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  lostOnTheWay,
  nextBeat,
  startBeats,
  type Beats,
  type UnderWay,
} from '../../src/core/reconciliation.ts';

const NOTHING: readonly number[] = [];

function lost(
  beats: Beats,
  echo: number,
  held: readonly number[],
  underWay: readonly UnderWay[],
): number[] {
  const heartbeat = { beat: beats.heard + 1, echo, held };
  return [...lostOnTheWay(beats, heartbeat, underWay)].map(({ number }) => number);
}

describe('a heartbeat', () => {
  test('is numbered from 1, and echoes the last one heard', () => {
    const beats = startBeats();
    expect(nextBeat(beats)).toEqual({ beat: 1, echo: 0 });
    expect(lost(beats, 0, NOTHING, [])).toEqual([]);
    expect(nextBeat(beats)).toEqual({ beat: 2, echo: 1 });
  });

  test('says nothing of what was sent after the one that it echoes', () => {
    const beats = startBeats();
    const early = { number: 1, sentAfter: beats.sent };
    expect(lost(beats, 0, NOTHING, [early])).toEqual([]);
    nextBeat(beats);
    const late = { number: 2, sentAfter: beats.sent };
    expect(lost(beats, 1, NOTHING, [early, late])).toEqual([1]);
  });

  test('clears what it names', () => {
    const beats = startBeats();
    const item = { number: 1, sentAfter: 0 };
    nextBeat(beats);
    expect(lost(beats, 1, [1], [item])).toEqual([]);
    expect(lost(beats, 1, [2], [item])).toEqual([1]);
  });

  test('proves nothing if it echoes what was never sent', () => {
    const beats = startBeats();
    nextBeat(beats);
    expect(lost(beats, 2, NOTHING, [{ number: 1, sentAfter: 0 }])).toEqual([]);
  });

  test('that is older does not move the echo back', () => {
    const beats: Beats = { sent: 0, heard: 7 };
    void [...lostOnTheWay(beats, { beat: 3, echo: 0, held: [] }, [])];
    expect(beats.heard).toBe(7);
  });
});

/** Two sides of a link that keeps the order and loses what it likes. */
test('what arrived is never called lost, and what did not is after a heartbeat each way', () => {
  const step = fc.record({
    does: fc.constantFrom('send', 'send', 'beat here', 'beat there', 'answer'),
    arrives: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
      const here = startBeats();
      const there = startBeats();
      const underWay = new Map<number, UnderWay>();
      const held = new Set<number>();
      const isLost = new Set<number>();
      const beat = () => {
        for (const { number } of lostOnTheWay(
          here,
          { ...nextBeat(there), held: [...held] },
          underWay.values(),
        )) {
          expect(isLost).toContain(number);
          underWay.delete(number);
        }
      };
      const hear = () => void [...lostOnTheWay(there, { ...nextBeat(here), held: [] }, [])];
      for (const [number, { does, arrives }] of steps.entries()) {
        if (does === 'send') {
          underWay.set(number, { number, sentAfter: here.sent });
          if (arrives) held.add(number);
          else isLost.add(number);
        } else if (does === 'answer') {
          const [first] = held;
          if (first === undefined) continue;
          held.delete(first);
          if (arrives) underWay.delete(first);
          else isLost.add(first);
        } else if (does === 'beat here') {
          if (arrives) hear();
          else nextBeat(here);
        } else if (arrives) beat();
        else nextBeat(there);
      }
      hear();
      beat();
      expect(new Set(underWay.keys())).toEqual(held);
    }),
    { numRuns: 500 },
  );
});
