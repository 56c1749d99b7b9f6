import { beforeEach, describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/core/random.ts';
import type { Arrival, SimProcess } from '../../src/testing/sim-process.ts';
import { SimWorld } from '../../src/testing/sim-world.ts';

let world: SimWorld;
let seen: string[];

beforeEach(() => {
  world = new SimWorld({ random: seededRandom(1) });
  seen = [];
});

function note(text: string): () => void {
  return () => void seen.push(text);
}

function arrival(text: string): Arrival {
  return { deliver: note(text), abandon: note(`${text} abandoned`) };
}

describe('clock', () => {
  it('wakes at the instant that was asked for, in order of setting', () => {
    const process = world.start('worker');
    process.wakeAt(10, note('second'));
    process.wakeAt(5, note('first'));
    process.wakeAt(10, note('third'));
    process.wakeAt(7, note('cancelled'))();
    world.run(9.99);
    expect(seen).toEqual(['first']);
    world.run(10);
    expect(seen).toEqual(['first', 'second', 'third']);
    expect(process.now()).toBe(10);
  });

  it('drifts: a fast clock wakes early, and never shows less than what it woke for', () => {
    const process = world.start('worker', { rate: 1.1, clockStart: 1000 });
    const wakes: number[] = [];
    for (let at = 1000.1; at < 1050; at += 0.1) {
      process.wakeAt(at, () => wakes.push(process.now() - at));
    }
    world.run(50 / 1.1);
    expect(wakes.length).toBeGreaterThan(490);
    expect(Math.min(...wakes)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...wakes)).toBeLessThan(1e-6);
    world.run(100);
    expect(process.now()).toBeCloseTo(1110);
  });

  it('keeps timers and time monotonic when the rate changes', () => {
    const process = world.start('worker');
    let wokeAt = 0;
    process.wakeAt(100, () => (wokeAt = world.now));
    world.run(50);
    process.setRate(0.5);
    expect(process.now()).toBe(50);
    world.run(1000);
    expect(wokeAt).toBeCloseTo(150);
  });

  it('fires timers late when told to, and counts it', () => {
    const process = world.start('worker', { lateness: () => 4 });
    process.wakeAt(10, () => seen.push(`woke at ${process.now()}`));
    world.run(100);
    expect(seen).toEqual(['woke at 14']);
    expect(world.effects.lateTimer).toBe(1);
  });

  it('ends a turn right after it, before anything else happens', () => {
    const process = world.start('worker');
    const other = world.start('other');
    process.wakeAt(5, () => {
      process.atTurnEnd(note('turn end'));
      seen.push('turn');
    });
    other.wakeAt(5, note('other'));
    world.run(5);
    expect(seen).toEqual(['turn', 'turn end', 'other']);
  });

  it('ends a turn also outside of one', () => {
    const process = world.start('worker');
    process.atTurnEnd(note('turn end'));
    expect(seen).toEqual([]);
    world.run(0);
    expect(seen).toEqual(['turn end']);
  });
});

function paused(seed: number): string[] {
  world = new SimWorld({ random: seededRandom(seed) });
  seen = [];
  const process = world.start('worker');
  process.wakeAt(5, note('timer 1'));
  process.wakeAt(6, note('timer 2'));
  process.wakeAt(7, note('cancelled'));
  process.pause(100);
  world.schedule(1, () => process.receive(arrival('message 1')));
  world.schedule(2, () => process.receive(arrival('message 2')));
  world.run(99);
  expect(seen).toEqual([]);
  world.run(100);
  return seen.filter((text) => text !== 'cancelled');
}

describe('pause', () => {
  it('holds messages and timers, then does them in order, either kind first', () => {
    const orders = new Set<string>();
    for (let seed = 0; seed < 20; seed++) orders.add(paused(seed).join());
    expect(orders).toEqual(
      new Set(['timer 1,timer 2,message 1,message 2', 'message 1,message 2,timer 1,timer 2']),
    );
    expect(world.effects.pausedDelivery).toBe(2);
    expect(world.effects.pausedTimer).toBe(3);
  });

  it('lets a held timer still be cancelled', () => {
    const process = world.start('worker');
    const cancel = process.wakeAt(5, note('timer'));
    process.pause(100);
    world.run(50);
    cancel();
    world.run(200);
    expect(seen).toEqual([]);
  });

  it('lasts until the later of two ends, or until resumed', () => {
    const process = world.start('worker');
    process.pause(100);
    process.pause(10);
    world.run(50);
    expect(process.isRunning).toBe(false);
    process.resume();
    process.pause(100);
    world.run(120);
    expect(process.isRunning).toBe(false);
    world.run(150);
    expect(process.isRunning).toBe(true);
  });

  it('can begin between a decision and its sends', () => {
    const process = world.start('worker');
    process.pauseBeforeSend(100);
    process.run(note('nothing to send: no pause'));
    process.run(() => {
      seen.push('decision');
      process.atTurnEnd(note('sends'));
    });
    process.run(note('call'));
    world.run(99);
    expect(seen).toEqual(['nothing to send: no pause', 'decision']);
    world.run(100);
    expect(seen).toEqual(['nothing to send: no pause', 'decision', 'sends', 'call']);
    expect(world.effects.pausedBeforeSend).toBe(1);
  });

  it('does not begin when it was taken back', () => {
    const process = world.start('worker');
    process.pauseBeforeSend(100);
    process.sendWithoutPause();
    process.run(() => process.atTurnEnd(note('sends')));
    expect(seen).toEqual(['sends']);
    expect(world.effects.pausedBeforeSend).toBe(0);
  });

  it('leaves a held turn what it has borrowed', () => {
    const process = world.start('worker');
    const frame = Uint8Array.of(1, 2);
    process.pauseBeforeSend(100);
    process.run(() => {
      process.lend([frame]);
      process.atTurnEnd(() => seen.push(frame.join()));
    });
    expect([...frame]).toEqual([1, 2]);
    world.run(100);
    expect(seen).toEqual(['1,2']);
    expect([...frame]).toEqual([0xdb, 0xdb]);
  });

  it('may begin again while the process catches up', () => {
    const process = world.start('worker');
    process.pause(10);
    for (const text of ['1', '2', '3']) {
      process.receive({
        deliver: () => {
          seen.push(text);
          if (text === '2') process.pause(10);
        },
        abandon: () => undefined,
      });
    }
    world.run(19);
    expect(seen).toEqual(['1', '2']);
    world.run(20);
    expect(seen).toEqual(['1', '2', '3']);
  });

  it('differs from not reading: then timers still fire', () => {
    const process = world.start('worker');
    process.stopReading(100);
    process.receive(arrival('message'));
    process.wakeAt(5, note('timer'));
    world.run(99);
    expect(seen).toEqual(['timer']);
    world.run(100);
    expect(seen).toEqual(['timer', 'message']);
    expect(world.effects.unreadDelivery).toBe(1);
  });

  it('reads again at once when told to', () => {
    const process = world.start('worker');
    process.stopReading(100);
    process.receive(arrival('message'));
    process.startReading();
    world.run(0);
    expect(seen).toEqual(['message']);
  });
});

function busy(process: SimProcess, effects: number): void {
  process.run(() => {
    process.atTurnEnd(() => {
      for (let effect = 1; effect <= effects; effect++) {
        if (process.spendEffect()) seen.push(`effect ${effect}`);
      }
    });
  });
}

describe('crash', () => {
  it('ends everything: timers, turns, messages', () => {
    const process = world.start('worker');
    process.wakeAt(5, note('timer'));
    process.pause();
    process.receive(arrival('message'));
    process.run(note('call'));
    process.crash();
    process.receive(arrival('later'));
    process.resume();
    world.run(100);
    expect(seen).toEqual(['message abandoned', 'later abandoned']);
    expect(world.effects.crashed).toBe(1);
  });

  it('in the middle of a turn keeps the turn from ending', () => {
    const process = world.start('worker');
    process.run(() => {
      process.atTurnEnd(note('turn end'));
      process.crash();
    });
    world.run(10);
    expect(seen).toEqual([]);
  });

  it.each([
    { count: 0, left: [] },
    { count: 1, left: ['effect 1'] },
    { count: 3, left: ['effect 1', 'effect 2', 'effect 3'] },
  ])('after $count effects, before anything else leaves', ({ count, left }) => {
    const process = world.start('worker');
    process.crashAfterEffects(count);
    busy(process, 5);
    expect(seen).toEqual(left);
    expect(process.isCrashed).toBe(true);
    expect(world.effects.crashedAfterEffects).toBe(1);
  });

  it('comes at the end of the turn when the last effect was the last one', () => {
    const process = world.start('worker');
    process.crashAfterEffects(2);
    busy(process, 1);
    expect(process.isCrashed).toBe(false);
    busy(process, 1);
    expect(process.isCrashed).toBe(true);
  });

  it('frees the name', () => {
    const process = world.start('worker');
    expect(() => world.start('worker')).toThrow('already running');
    process.crash();
    expect(world.start('worker').isRunning).toBe(true);
  });
});
