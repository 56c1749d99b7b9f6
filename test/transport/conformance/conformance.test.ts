/** Every fact in every world, but for the table of exceptions. */
import { afterEach, describe, expect, it } from 'vitest';
import { DIFFERENCES, EXCEPTIONS } from './exceptions.ts';
import type { Facts } from './fact.ts';
import { closingFacts } from './facts-closing.ts';
import { linkFacts } from './facts-links.ts';
import { noticeFacts } from './facts-notices.ts';
import { pubsubFacts } from './facts-pubsub.ts';
import { sendingFacts } from './facts-sending.ts';
import { RealWorld } from './real.ts';
import { SimulatedWorld } from './simulated.ts';
import { WORLDS, type World, type WorldName } from './world.ts';

const FACTS: Facts = {
  ...sendingFacts,
  ...linkFacts,
  ...noticeFacts,
  ...closingFacts,
  ...pubsubFacts,
};
const SENTENCES = Object.keys(FACTS);

/** Chance decides much in the simulator: a fact must hold whatever it decides. */
const SEEDS = 20;

describe.each(WORLDS)('%s', (name) => {
  let worlds: World[] = [];
  afterEach(async () => {
    for (const world of worlds.splice(0)) await world.end();
  });

  const applying = Object.entries(FACTS).filter(([sentence]) => !isExcepted(sentence, name));
  it.each(applying)('%s', async (_sentence, holds) => {
    expect.hasAssertions();
    worlds = open(name);
    for (const world of worlds) await holds(world);
  });
});

describe('the table of exceptions', () => {
  it.each(EXCEPTIONS.flatMap(({ facts }) => facts))('names one fact: %s', (beginning) => {
    expect(SENTENCES.filter((sentence) => sentence.startsWith(beginning))).toHaveLength(1);
  });

  it.each(SENTENCES)('leaves two worlds at least for: %s', (sentence) => {
    const worlds = WORLDS.filter((world) => !isExcepted(sentence, world));
    expect(worlds).toContain('simulator');
    expect(worlds.length).toBeGreaterThan(1);
  });
});

describe('the simulator is harsher than zeromq on purpose', () => {
  it.each(DIFFERENCES)('$what', ({ shows }) => {
    expect.hasAssertions();
    shows();
  });
});

function isExcepted(sentence: string, world: WorldName): boolean {
  return EXCEPTIONS.some(
    ({ facts, worlds }) =>
      worlds.includes(world) && facts.some((beginning) => sentence.startsWith(beginning)),
  );
}

function open(name: WorldName): World[] {
  if (name !== 'simulator') return [new RealWorld(name)];
  return Array.from({ length: SEEDS }, (_, seed) => new SimulatedWorld(seed));
}
