/**
 * The stories in docs/failover.md: each fault happens to the real machines, and what they tell of it is what
 * stands on the page, as does the diagram of their states. After a change that is meant: `WRITE_STORIES=yes npx vitest run test/failover/stories`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Role } from '../../src/failover/commands.ts';
import { pairDiagram } from '../../src/failover/diagram.ts';
import type { PairSettings } from '../../src/failover/pair-machine.ts';
import { PairWorld, type Place } from './pair-story.ts';

const PAGE = 'docs/failover.md';
const WITNESS = { witness: 'tcp://witness:1' };
const ROLES = ['primary', 'backup'] as const;

/** A pair, what is done to it, and all that it tells, a line each: what an operator reads in two logs. */
class Story {
  readonly lines: string[] = [];
  readonly world: PairWorld;
  /** Where clients come to, twenty times a second. */
  asked: readonly Role[] = [];

  constructor(settings: Partial<PairSettings>, holds?: number) {
    this.world = new PairWorld(settings);
    for (const role of ROLES) {
      const endpoint = `tcp://${role}:5555`;
      this.call(role, {
        type: 'stand',
        standing: { endpoint, ...(holds !== undefined && { holds }) },
      });
    }
  }

  call(...call: Parameters<PairWorld['call']>): void {
    this.world.call(...call);
  }

  /** Says what is done, in words. */
  that(what: string): void {
    this.#note('', what);
  }

  run(milliseconds: number): void {
    for (let passed = 0; passed < milliseconds; passed++) {
      this.world.run(1);
      for (const role of ROLES) {
        for (const line of this.world.told(role)) this.#note(role, line);
      }
      if (this.world.now % 50 === 0) this.#ask();
    }
  }

  /** Nothing passes between these, in both directions. */
  cut(one: Place, other: Place): void {
    this.world.cut(one, other);
    this.world.cut(other, one);
  }

  /** Its process dies, and the other one is given notice of the broken link. */
  kill(role: Role, other: Role): void {
    this.world.kill(role);
    this.world.machine(other).handlePeerGone(this.world.now, 'peer', '');
  }

  #ask(): void {
    for (const role of this.asked) this.world.call(role, { type: 'asked' });
  }

  /** To ten milliseconds: a page is about more than that. */
  #note(who: string, what: string): void {
    const at = String(Math.round(this.world.now / 10) * 10).padStart(6);
    const told = what.replaceAll(/\d+\.\d+/g, (number) => Number(number).toFixed());
    this.lines.push(`[${at}] ${who.padEnd(8)} ${told}`.trimEnd());
  }
}

/** A pair of which the primary serves; what it told until then is in the first story. */
function serving(settings: Partial<PairSettings>, holds?: number): Story {
  const story = new Story(settings, holds);
  story.run(1100);
  story.lines.length = 0;
  return story;
}

const STORIES: Readonly<Record<string, () => Story>> = {
  'witness: the active dies'() {
    const story = new Story(WITNESS);
    story.run(3000);
    story.that('the primary is killed');
    story.kill('primary', 'backup');
    story.run(3000);
    story.that('the primary is started again');
    story.world.start('primary');
    story.run(3000);
    return story;
  },
  'witness: the active stands still for five seconds'() {
    const story = serving(WITNESS);
    story.run(1900);
    story.that('the primary is stopped (SIGSTOP)');
    story.world.pause('primary');
    story.run(5000);
    story.that('it goes on (SIGCONT)');
    story.world.resume('primary');
    story.run(3000);
    return story;
  },
  'witness: the active is cut off'() {
    const story = serving(WITNESS);
    story.run(1900);
    story.that('nothing passes between the primary and the other two');
    story.cut('primary', 'backup');
    story.cut('primary', 'witness');
    story.run(4000);
    story.that('all links are whole again');
    story.world.heal();
    story.run(3000);
    return story;
  },
  'witness: the two do not hear each other'() {
    const story = serving(WITNESS);
    story.run(1900);
    story.that('nothing passes between the two; both reach the witness');
    story.cut('primary', 'backup');
    story.run(4000);
    story.that('the link is whole again');
    story.world.heal();
    story.run(3000);
    return story;
  },
  'witness: the witness dies, then the active'() {
    const story = serving(WITNESS);
    story.run(1900);
    story.that('the witness is killed');
    story.world.killWitness();
    story.run(5000);
    story.that('the primary is killed, too');
    story.kill('primary', 'backup');
    story.run(4000);
    story.that('the witness is started again');
    story.world.startWitness();
    story.run(4000);
    return story;
  },
  'witness: the one that dies served alone'() {
    const story = serving(WITNESS, 0);
    story.run(1900);
    story.that('the primary is killed; the backup has not copied what it did');
    story.kill('primary', 'backup');
    story.run(2500);
    story.that('a person says: promote()');
    story.call('backup', { type: 'promote' });
    story.run(2000);
    return story;
  },
  'vote: the active dies'() {
    const story = serving({});
    story.asked = ['backup'];
    story.run(1900);
    story.that('the primary is killed; a client comes to the backup');
    story.kill('primary', 'backup');
    story.run(3000);
    return story;
  },
  'vote: the active stands still for five seconds'() {
    const story = serving({});
    story.run(1900);
    story.asked = ['backup'];
    story.that('the primary is stopped (SIGSTOP); its clients go to the backup');
    story.world.pause('primary');
    story.run(5000);
    story.that('it goes on (SIGCONT)');
    story.world.resume('primary');
    story.run(3000);
    return story;
  },
  'vote: the two do not hear each other'() {
    const story = serving({});
    story.asked = ['primary', 'backup'];
    story.run(1900);
    story.that('nothing passes between the two; clients reach both');
    story.cut('primary', 'backup');
    story.run(4000);
    story.that('the link is whole again');
    story.world.heal();
    story.run(3000);
    return story;
  },
  'vote: the backup starts alone'() {
    const story = new Story({});
    story.world.kill('primary');
    story.that('only the backup is started');
    story.run(2000);
    story.that('a client comes');
    story.asked = ['backup'];
    story.run(2000);
    return story;
  },
};

/** What stands in the block behind a marker of the page; after `write`, if that is wanted. */
function shownBehind(marker: string, write: string): string | undefined {
  const page = readFileSync(PAGE, 'utf8');
  const from = page.indexOf('\n', page.indexOf('```', page.indexOf(`<!-- ${marker} -->`))) + 1;
  const to = page.indexOf('\n```', from - 1);
  if (!page.includes(`<!-- ${marker} -->`)) return undefined;
  if (process.env['WRITE_STORIES'] !== 'yes') return page.slice(from, to);
  writeFileSync(PAGE, `${page.slice(0, from)}${write}${page.slice(Math.max(from, to))}`);
  return write;
}

test('docs/failover.md shows the states as the table has them', () => {
  const diagram = pairDiagram().trimEnd();
  expect(shownBehind('diagram', diagram)).toBe(diagram);
});

describe('docs/failover.md tells what happens', () => {
  test.each(Object.entries(STORIES))('%s', (name, tell) => {
    const { lines } = tell();
    expect(lines.length).toBeGreaterThan(3);
    const told = lines.join('\n');
    expect(shownBehind(`story: ${name}`, told)).toBe(told);
  });

  test('and no other stories', () => {
    const told = readFileSync(PAGE, 'utf8').matchAll(/<!-- story: (.*) -->/g);
    const names = [...told].map(([, name]) => String(name));
    expect(names.toSorted()).toEqual(Object.keys(STORIES).toSorted());
  });
});
