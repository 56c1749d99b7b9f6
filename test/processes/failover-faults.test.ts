/**
 * One of a pair is stopped for far longer than the other waits, and goes on as if nothing had happened; or is
 * dismissed in the middle of its work.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Failovers, SOUND, type Judgement, type Mode, type Role } from './failovers.ts';
import { toldAnew, toldWith } from './processes.ts';

interface Outcome extends Judgement {
  /** Whether who serves is whom it should be. */
  readonly isInPlace: boolean;
}

/** Milliseconds. */
const PAUSE = 5000;

/** Stops the one that serves: the other one does so meanwhile, and afterwards. */
async function stopActive(mode: Mode): Promise<Outcome> {
  const all = await Failovers.open({ mode });
  const stopped = await all.whole();
  const other = stopped === 'primary' ? 'backup' : 'primary';
  const [half, before] = [all.halves.get(stopped)!, all.epochOf(stopped)];
  half.signal('SIGSTOP');
  await Promise.all([delay(PAUSE), toldAnew(all.halves.get(other)!, 'becameActive')]);
  await all.progress();
  const steppedDown = toldAnew(half, 'becamePassive');
  half.signal('SIGCONT');
  const { epoch } = await steppedDown;
  const judgement = await all.judge();
  // No fail-back.
  const isInPlace = all.active === other && all.told(other, 'becameActive').length === 1;
  return { ...judgement, isInPlace: isInPlace && epoch === before };
}

/** Dismisses both, one after the other, each in the middle of its work. */
async function dismissBoth(mode: Mode): Promise<Outcome> {
  const all = await Failovers.open({ mode });
  const served: (Role | undefined)[] = [];
  for (let count = 0; count < 2; count++) {
    const active = await all.whole();
    served.push(active);
    await all.restart(active, 'SIGTERM');
    await all.progress();
  }
  const judgement = await all.judge();
  const [first, second] = served;
  return { ...judgement, isInPlace: first !== second && all.active === first };
}

/** Stops the one that does not serve. */
async function stopPassive(mode: Mode): Promise<Outcome> {
  const all = await Failovers.open({ mode });
  const active = await all.whole();
  const [half, before] = [all.halves.get(active)!, all.epochOf(active)];
  const passive = all.halves.get(active === 'primary' ? 'backup' : 'primary')!;
  passive.signal('SIGSTOP');
  await toldWith(half, 'peerLost', { reason: 'silent' });
  await all.progress();
  passive.signal('SIGCONT');
  await toldAnew(half, 'peerFound');
  const judgement = await all.judge();
  return { ...judgement, isInPlace: all.epochOf(active) === before };
}

test.each([
  ['the active one, stopped for 5 s: the other serves, and goes on to', stopActive],
  ['the passive one, stopped: nothing changes', stopPassive],
  ['both, dismissed one after the other: they take turns', dismissBoth],
])(
  '%s',
  async (_, disturb) => {
    // At the same time, as both mostly wait.
    const judgements = await Promise.all([disturb('witness'), disturb('vote')]);
    for (const judgement of judgements) {
      expect(judgement).toMatchObject({ ...SOUND, isInPlace: true });
    }
  },
  60_000,
);
