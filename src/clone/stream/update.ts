/** One change in the history of a map or of topics: made once, then shared by all who are told of it. */
import type { Frames, Instant } from '../../core/machine.ts';
import { weightOf, type Origin, type Sequence, type WriteKind } from '../commands.ts';

/** Never changed once it is made: the history keeps it, and all followers are sent the same one. */
export interface Update {
  readonly sequence: Sequence;
  readonly kind: WriteKind;
  /** Of `clear`: a subtree. Of replay: a topic. */
  readonly key: string;
  /** Milliseconds that it was given; undefined: it does not expire. */
  readonly ttl: number | undefined;
  /** By the clock of this process; `Infinity`: never. */
  readonly expiresAt: Instant;
  /** Undefined: the server itself, or a stock peer. */
  readonly origin: Origin | undefined;
  /** The key had run out of time. */
  readonly isExpiry: boolean;
  /** What a stock peer called it; '' otherwise. */
  readonly uuid: string;
  /** Not borrowed: whoever makes an update keeps its frames. */
  readonly value: Frames;
  /** `weightOf` it as a command. */
  readonly weight: number;
}

/** What an update must have; the rest has defaults. */
export type UpdateFields = Pick<Update, 'sequence' | 'kind' | 'key' | 'value'> &
  Partial<Omit<Update, 'weight'>>;

/** An update of these fields, with what it weighs. */
export function updateOf(fields: UpdateFields): Update {
  const { sequence, kind, key, value, ttl, origin } = fields;
  return {
    sequence,
    kind,
    key,
    ttl,
    expiresAt: fields.expiresAt ?? Infinity,
    origin,
    isExpiry: fields.isExpiry ?? false,
    uuid: fields.uuid ?? '',
    value,
    weight: weightOf({ type: 'update', stream: 0, predecessor: 0, sequence, kind, key, value }),
  };
}

/** Milliseconds that are left until `expiresAt`, not rounded down; undefined: it does not expire. */
export function timeLeft(now: Instant, expiresAt: Instant): number | undefined {
  return expiresAt === Infinity ? undefined : Math.max(0, Math.ceil(expiresAt - now));
}
