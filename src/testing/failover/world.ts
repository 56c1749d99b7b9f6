/** A world of the exhaustive search: a few numbers, and what led to it. */
import type { Epoch } from '../../core/election.ts';
import type { Violation } from '../violation.ts';

/** The primary, the backup and the witness, by number. */
export const NAMES = ['primary', 'backup', 'witness'] as const;

/** Who talks to whom over which link: a server asks, the other end of the same link answers. */
export const LINKS = [
  { from: 0, to: 1, asks: true },
  { from: 1, to: 0, asks: false },
  { from: 1, to: 0, asks: true },
  { from: 0, to: 1, asks: false },
  { from: 0, to: 2, asks: true },
  { from: 2, to: 0, asks: false },
  { from: 1, to: 2, asks: true },
  { from: 2, to: 1, asks: false },
] as const;

/** What led to a world. */
export interface Trail {
  readonly before: Trail | undefined;
  readonly action: string;
}

export interface World {
  /** The state of each machine; -1: it is away. */
  readonly actors: readonly number[];
  /** What each would read, as a number of `Actors.records`. */
  readonly records: readonly number[];
  /** For each: the tokens and records that it has asked to store, the oldest first. */
  readonly stores: readonly (readonly (readonly [token: number, record: number])[])[];
  /** Messages by number; negative: it was said before this tick. */
  readonly links: readonly (readonly number[])[];
  /** Until which tick each stands still or is away, and each direction (from × 3 + to) is cut. */
  readonly idleUntil: readonly number[];
  readonly cutUntil: readonly number[];
  readonly faultsLeft: number;
  /** The highest epoch that each client has seen. */
  readonly clients: readonly Epoch[];
  /** Servers that were asked in this tick. */
  readonly asked: number;
  /** The highest epoch that anybody ever served under. */
  readonly highest: Epoch;
  readonly trail: Trail | undefined;
}

/** A violation, and how it came to that. */
export class Found extends Error {
  readonly violation: Violation;
  readonly trail: Trail | undefined;

  constructor(violation: Violation, trail: Trail | undefined) {
    super(violation.message);
    this.violation = violation;
    this.trail = trail;
  }
}

/** What led to the world that follows by this. */
export function after({ trail }: World, action: string): Trail {
  return { before: trail, action };
}

/** Two worlds of one tick with the same key have the same future. */
export function keyOf(world: World): string {
  const { actors, records, stores, links, idleUntil, cutUntil, faultsLeft, clients } = world;
  const parts = [actors, records, stores, idleUntil, cutUntil, clients, world.asked, world.highest];
  return `${parts.join('|')}|${faultsLeft}|${links.join('/')}`;
}
