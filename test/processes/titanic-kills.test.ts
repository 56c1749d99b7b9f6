/**
 * A few SIGKILLs of a Titanic under load by `scripts/titanic-kills.js`, which does a thousand of them on
 * request; and two planted bugs, which it has to find.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Child } from './child.ts';

const PROGRAM = join(import.meta.dirname, '../../scripts/titanic-kills.js');

interface Outcome {
  readonly code: number | null;
  readonly said: string;
}

const running: Child[] = [];

async function kill(...args: string[]): Promise<Outcome> {
  const child = new Child('titanic-kills', process.execPath, [PROGRAM, ...args]);
  running.push(child);
  const { code } = await child.ended;
  return { code, said: [...child.lines, child.errors].join('\n') };
}

/** They mostly wait: at the same time they take no longer than one. */
const outcomes: Record<string, Promise<Outcome>> = {};

beforeAll(() => {
  outcomes['sound'] = kill('--kills', '10', '--others');
  for (const fault of ['hasty', 'forgetful']) {
    outcomes[fault] = kill('--kills', '8', '--fault', fault);
  }
});

afterAll(async () => {
  const alive = running.filter((child) => child.ending === undefined);
  // Their own children end with them: nobody holds their stdin then.
  await Promise.all(alive.map((child) => child.end('SIGTERM')));
});

describe('killed again and again', () => {
  test('a Titanic loses nothing', async () => {
    const { code, said } = await outcomes['sound']!;
    expect(said).toContain('OK: ');
    expect(code).toBe(0);
  }, 120_000);

  test('one that acknowledges before it writes is found out', async () => {
    const { code, said } = await outcomes['hasty']!;
    expect(said).toMatch(/^lost: request \w+: unknown/m);
    expect(code).toBe(1);
  }, 120_000);

  test('one that forgets what was closed is found out', async () => {
    const { code, said } = await outcomes['forgetful']!;
    expect(said).toMatch(/^(?:resurrected|executedAfterClose): request/m);
    expect(code).toBe(1);
  }, 120_000);
});

test.each([
  [0, ['--help']],
  [2, ['--kills', 'many']],
  [2, ['--fault', 'unknown']],
])('it says how it is used, and ends with %i, after %s', async (expected, args) => {
  const { code, said } = await kill(...args);
  expect(said).toContain('Usage: node scripts/titanic-kills.js');
  expect(code).toBe(expected);
});
