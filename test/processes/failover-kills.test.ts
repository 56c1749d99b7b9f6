/**
 * A few SIGKILLs of each of a pair and of its witness, under load; `scripts/failover-kills.js` does as many
 * as are wanted. No client may notice but by waiting.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { seededRandom } from '../../src/core/random.ts';
import { Child } from './child.ts';
import { Failovers, SOUND, type Mode } from './failovers.ts';

const PROGRAM = join(import.meta.dirname, '../../scripts/failover-kills.js');

const KILLS = Number(process.env['FAILOVER_KILLS'] ?? 3);
const SEED = Number(process.env['FAILOVER_SEED'] ?? 1);
const MODES = (process.env['FAILOVER_MODES'] ?? 'witness,vote').split(',') as Mode[];
/** Milliseconds from when the pair is whole until the next kill, at most. */
const WAIT = 400;
/** For one kill and what follows from it, and for all the rest. */
const PATIENCE = { kill: 10_000, rest: 40_000 };

/** Whom to kill, in turn. */
const VICTIMS = {
  witness: ['active', 'witness', 'passive'],
  vote: ['active', 'passive'],
};

async function kill(all: Failovers, victim: string): Promise<void> {
  const active = await all.whole();
  const before = all.epochOf(active);
  if (victim === 'witness') await all.restartWitness();
  else if (victim === 'active') await all.restart(active);
  else await all.restart(active === 'primary' ? 'backup' : 'primary');
  await all.progress();
  const now = all.epochOf(await all.whole());
  // Only the loss of the one that serves is a reason for another to, or for itself to begin anew.
  const isReason = victim === 'active' || (all.isStarved && now > before);
  expect({ victim, isNext: now > before }).toEqual({ victim, isNext: isReason });
}

test.each(MODES)(
  `of a pair with a %s, one after the other is killed, ${KILLS} times`,
  async (mode) => {
    const all = await Failovers.open({ mode });
    const random = seededRandom(SEED);
    for (let count = 0; count < KILLS; count++) {
      await delay(random() * WAIT);
      const victims = VICTIMS[mode];
      await kill(all, victims[count % victims.length]!);
    }
    expect(await all.judge()).toMatchObject(SOUND);
  },
  KILLS * PATIENCE.kill + PATIENCE.rest,
);

test('clients without keys are found out: what runs at a failover is executed again', async () => {
  const all = await Failovers.open({ mode: 'vote', isKeyed: false });
  await kill(all, 'active');
  expect((await all.judge()).repeated).toBeGreaterThan(0);
});

test.each([
  [0, ['--help']],
  [2, ['--kills', 'many']],
])('the script says how it is used, and ends with %i, after %s', async (expected, args) => {
  const script = new Child('failover-kills', process.execPath, [PROGRAM, ...args]);
  const { code } = await script.ended;
  expect([...script.lines, script.errors].join('\n')).toContain('Usage: node scripts/failover-k');
  expect(code).toBe(expected);
});
