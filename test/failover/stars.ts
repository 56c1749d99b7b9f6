/** Pairs over real sockets, for the tests of the shells: what a test opens is closed after it. */
import { join } from 'node:path';
import { afterEach, beforeEach, expect, vi } from 'vitest';
import {
  BinaryStar,
  WitnessServer,
  type BinaryStarOptions,
  type PairEvent,
  type PairRole,
  type PairVerdict,
  type WitnessOptions,
} from '../../src/failover/index.ts';
import { freshFolder, removeFolder } from '../transport/processes.ts';

/** Fast enough for a test, slow enough for a busy machine. */
export const SETTINGS = {
  heartbeatInterval: 50,
  heartbeatLiveness: 8,
  noticeGrace: 30,
  lease: 600,
  drainTimeout: 1000,
};

/** Milliseconds that a change may take, far more than it ever does. */
const PATIENCE = { timeout: 10_000, interval: 2 };

export type Which = PairRole | 'witness';

let folder = '';
const opened: { close(): Promise<void> }[] = [];

beforeEach(() => {
  folder = freshFolder();
});

afterEach(async () => {
  await Promise.all(opened.splice(0).map((each) => each.close()));
  removeFolder(folder);
});

/** A file in the folder of this test. */
export function fileIn(name: string): string {
  return join(folder, name);
}

/** Where each of them is bound. */
export function endpointOf(which: Which): string {
  return `ipc://${fileIn(`${which}.ipc`)}`;
}

/** Where clients would reach it: told to the other one, never connected to. */
export function clientEndpointOf(role: PairRole): string {
  return `tcp://192.0.2.${role === 'primary' ? 1 : 2}:5555`;
}

export function otherOf(role: PairRole): PairRole {
  return role === 'primary' ? 'backup' : 'primary';
}

/** One that is not bound yet. Its file of epochs outlives it, as long as the test. */
export function makeStar(role: PairRole, options: Partial<BinaryStarOptions> = {}): BinaryStar {
  const star = new BinaryStar({
    role,
    peer: endpointOf(otherOf(role)),
    store: fileIn(`${role}.epochs`),
    ...SETTINGS,
    ...options,
  });
  opened.push(star);
  return star;
}

/** One that is bound, and says where its clients reach it. */
export async function bindStar(
  role: PairRole,
  options: Partial<BinaryStarOptions> = {},
): Promise<BinaryStar> {
  const star = makeStar(role, options);
  star.stand({ endpoint: clientEndpointOf(role) });
  await star.bind(endpointOf(role));
  return star;
}

export async function bindWitness(options: WitnessOptions = {}): Promise<WitnessServer> {
  const witness = new WitnessServer({ store: fileIn('witness.epochs'), ...options });
  opened.push(witness);
  await witness.bind(endpointOf('witness'));
  return witness;
}

/** Asks as a client does, again and again, until it says so; returns the epoch. */
export async function says(star: BinaryStar, verdict: PairVerdict['verdict']): Promise<number> {
  return await until(() => {
    const said = star.guard();
    expect(said.verdict).toBe(verdict);
    return said.epoch;
  });
}

/** Waits until it is in this state, without asking for anything. */
export async function becomes(star: BinaryStar, state: string): Promise<void> {
  await until(() => expect(star.status().state).toBe(state));
}

/** Waits until what is asserted holds. */
export async function until<Value>(assertion: () => Value): Promise<Value> {
  return await vi.waitFor(assertion, PATIENCE);
}

/** All that it tells from now on. */
export function eventsOf(star: BinaryStar): PairEvent[] {
  const events: PairEvent[] = [];
  star.on('event', (event: PairEvent) => void events.push(event));
  return events;
}
