/**
 * What is true: every update that any server made, under which epoch, and what the map was after each.
 *
 * Reigns are a tree: each goes on with what an earlier one had, up to its base. So a position, which is an
 * epoch and a sequence, has one map, whoever speaks of it. Nothing here asks a machine for its digest, or
 * trusts how it applies an update.
 */
import { equalBytes } from '../../core/frames.ts';
import type { Epoch } from '../../core/election.ts';
import type { Instant } from '../../core/machine.ts';
import type { Position, WriteKind } from '../../clone/commands.ts';
import type { Stage } from '../stage.ts';
import { requireThat } from '../violation.ts';

/** One key of a true map. */
export interface Item {
  readonly value: Uint8Array;
  readonly revision: number;
}

export type View = ReadonlyMap<string, Item>;

export const EMPTY_VIEW: View = new Map();

/** An update as its server made it. */
export interface Made {
  readonly sequence: number;
  readonly kind: WriteKind;
  readonly key: string;
  /** Empty unless it is a `set`. A copy. */
  readonly value: Uint8Array;
  readonly ttl: number | undefined;
  readonly isExpiry: boolean;
  /** Who asked for it: writer and number; '' while that is not known, or if nobody did. */
  origin: string;
  /** When it was first seen, in the time of the world. */
  readonly at: Instant;
  /** When it became public under that reign; `-Infinity`: it did not. */
  publishedAt: Instant;
  readonly reign: TrueReign;
}

/** What a machine shows of an update. */
export type ShownUpdate = Omit<Made, 'at' | 'publishedAt' | 'reign'>;

export class TrueReign {
  readonly epoch: Epoch;
  readonly server: string;
  /** What it goes on with; undefined: it began with what was in `baseView`. */
  readonly parent: TrueReign | undefined;
  readonly base: number;
  readonly baseView: View;
  /** No promise of one generation holds in the next: memory was lost between them. */
  readonly generation: number;
  readonly made = new Map<number, Made>();
  /** The newest that is public. */
  head: number;
  readonly #views = new Map<number, View>();

  constructor(
    epoch: Epoch,
    server: string,
    parent: TrueReign | undefined,
    base: number,
    baseView: View,
    generation: number,
  ) {
    this.epoch = epoch;
    this.server = server;
    this.parent = parent;
    this.base = base;
    this.baseView = baseView;
    this.generation = generation;
    this.head = base;
  }

  /** The map after `sequence`; undefined if that was never seen. */
  viewAt(sequence: number): View | undefined {
    if (sequence < this.base) return this.parent?.viewAt(sequence);
    if (sequence === this.base) return this.baseView;
    const known = this.#views.get(sequence);
    if (known !== undefined) return known;
    const made = this.made.get(sequence);
    const before = made === undefined ? undefined : this.viewAt(sequence - 1);
    if (made === undefined || before === undefined) return undefined;
    const view = after(before, made);
    this.#views.set(sequence, view);
    return view;
  }

  /** The update of this number in its past or its own time. */
  updateAt(sequence: number): Made | undefined {
    return sequence <= this.base ? this.parent?.updateAt(sequence) : this.made.get(sequence);
  }

  /** True if this update is a part of what this reign had, or has. */
  has(made: Made): boolean {
    return this.updateAt(made.sequence) === made;
  }

  put(made: Made): void {
    this.made.set(made.sequence, made);
    for (const sequence of this.#views.keys()) {
      if (sequence >= made.sequence) this.#views.delete(sequence);
    }
  }
}

export class Truth {
  readonly #stage: Stage;
  readonly #reigns = new Map<Epoch, TrueReign>();
  #latest: TrueReign | undefined;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  of(epoch: Epoch): TrueReign | undefined {
    return this.#reigns.get(epoch);
  }

  /** The one that began last. */
  get latest(): TrueReign | undefined {
    return this.#latest;
  }

  reigns(): Iterable<TrueReign> {
    return this.#reigns.values();
  }

  began(reign: TrueReign): void {
    requireThat(!this.#reigns.has(reign.epoch), 'epochs are unique', () => {
      return `${reign.server} serves under ${reign.epoch} again`;
    });
    this.#reigns.set(reign.epoch, reign);
    this.#latest = reign;
  }

  /** An update was made under this reign; whether it ever becomes public is another matter. */
  made(reign: TrueReign, shown: ShownUpdate): Made {
    const known = reign.made.get(shown.sequence);
    if (known !== undefined && isSame(known, shown)) {
      if (known.origin === '') known.origin = shown.origin;
      return known;
    }
    requireThat(shown.sequence > reign.head, 'updates in order', () => {
      const { kind, key } = shown;
      return `${reign.server} makes a ${kind} of ${key} as ${shown.sequence} of ${reign.epoch}, which was a ${known?.kind} of ${known?.key}`;
    });
    const made = { ...shown, at: this.#stage.world.now, publishedAt: -Infinity, reign };
    reign.put(made);
    return made;
  }

  published(made: Made): void {
    const { reign, sequence } = made;
    requireThat(sequence === reign.head + 1, 'updates in order', () => {
      return `${reign.server} publishes ${sequence} of ${reign.epoch} after ${reign.head}`;
    });
    reign.head = sequence;
    made.publishedAt = this.#stage.world.now;
  }

  /** The map at a position; undefined if nobody was ever seen there. */
  viewAt({ epoch, sequence }: Position): View | undefined {
    if (sequence === 0) return EMPTY_VIEW;
    return this.#reigns.get(epoch)?.viewAt(sequence);
  }

  /** True if `position` can be known: the server of that epoch has come so far. */
  isKnown({ epoch, sequence }: Position): boolean {
    if (sequence === 0) return true;
    const reign = this.#reigns.get(epoch);
    return reign !== undefined && (sequence <= reign.base || reign.made.has(sequence));
  }
}

/** Written once more, on purpose: whoever judges keys by the code under test finds no mistake in it. */
export function isIn(subtree: string, key: string): boolean {
  if (subtree === '' || subtree === key) return true;
  return subtree.endsWith('/') && key.slice(0, subtree.length) === subtree;
}

function after(before: View, { kind, key, value, sequence }: Made): View {
  const next = new Map(before);
  if (kind === 'set') next.set(key, { value, revision: sequence });
  else if (kind === 'delete') next.delete(key);
  else for (const each of before.keys()) if (isIn(key, each)) next.delete(each);
  return next;
}

function isSame(known: Made, shown: ShownUpdate): boolean {
  return (
    known.kind === shown.kind && known.key === shown.key && equalBytes(known.value, shown.value)
  );
}

/** How a map differs from the true one under a subtree, in words; undefined: it does not. */
export function differenceOf(
  shown: Iterable<readonly [key: string, item: Item]>,
  view: View,
  subtree: string,
): string | undefined {
  let count = 0;
  for (const [key, { value, revision }] of shown) {
    count++;
    const item = isIn(subtree, key) ? view.get(key) : undefined;
    if (item === undefined) return `${key} is there`;
    if (item.revision !== revision) return `${key} is ${revision} instead of ${item.revision}`;
    if (!equalBytes(item.value, value)) return `${key} has another value`;
  }
  let due = 0;
  for (const key of view.keys()) if (isIn(subtree, key)) due++;
  return count === due ? undefined : `${count} keys are there instead of ${due}`;
}
