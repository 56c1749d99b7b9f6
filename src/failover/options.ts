/** Options of Binary Star: what they mean, their defaults, and where those come from. */
import { commonRules, optionalMilliseconds, type CommonOptions } from '../core/common-options.ts';
import { count, milliseconds, oneOf, such, type Rules } from '../core/options.ts';
import type { Role } from './commands.ts';

/**
 * What a pair says and a witness knows, kept so that a restart cannot forget it. One at a time: the next
 * `write` comes after the last one has ended.
 */
export interface EpochStore {
  /** What was written last; undefined if nothing ever was. Rejects if that cannot be told. */
  read(): PromiseLike<unknown>;
  /** Resolves once it is sure to be read after a power cut. `record` is plain JSON. */
  write(record: unknown): PromiseLike<void>;
  /** Gives back what it holds. */
  close(): PromiseLike<void>;
}

/** `own`: epochs and names, between our own. `stock`: one digit on PUB/SUB, for a peer of another make. */
export type PairProtocol = 'own' | 'stock';

export interface BinaryStarOptions extends CommonOptions {
  /** Which of the two this is. Both must differ. */
  readonly role: Role;
  /** The name of the pair: messages of others are ignored. 1 to 255 bytes. Default `pair`. */
  readonly name?: string | undefined;
  /** Where the other one is bound. */
  readonly peer: string;
  /**
   * Where the witness is bound. With one, only the holder of a lease serves. Without, clients vote: the
   * passive one takes over when its peer is silent and a client asks it.
   */
  readonly witness?: string | undefined;
  /** Where epochs are kept: a path, or a store of your own. Default: a file named after pair and role. */
  readonly store?: string | EpochStore | undefined;
  /** Default `own`. `stock` has no witness. */
  readonly protocol?: PairProtocol | undefined;
  /** Where clients reach this server. Default: what the server that is guarded says. */
  readonly advertise?: string | undefined;
  /** Milliseconds between two words to the peer. Default 250; 1,000 in `stock`, as stock peers do. */
  readonly heartbeatInterval?: number | undefined;
  /** Intervals of silence after which the peer counts as lost. Default 4; 2 in `stock`. */
  readonly heartbeatLiveness?: number | undefined;
  /**
   * Milliseconds between the notice that a link to the peer broke and what follows from it: a TCP reset
   * gives the same notice as a death, and is mended in about 10. Default 100.
   */
  readonly noticeGrace?: number | undefined;
  /**
   * With a witness: milliseconds for which a lease holds, and so how long nobody serves after an active one
   * died. The same at both. Default 1,000, at most 60,000.
   */
  readonly lease?: number | undefined;
  /**
   * By how much the rates of two clocks may differ, as a share. Real ones differ by 0.0001; a lease is used
   * for that much less than it is given for. Default 0.01, at most 0.2.
   */
  readonly clockDrift?: number | undefined;
}

export interface WitnessOptions extends CommonOptions {
  /** Where epochs are kept: a path, or a store of your own. Default: `witness.epochs`. */
  readonly store?: string | EpochStore | undefined;
  /** Pairs it serves at most. Default 1,024. */
  readonly pairLimit?: number | undefined;
}

/** No lease is longer: a restarted voter may have to wait for its end. */
export const LEASE_LIMIT = 60_000;

/** A name fits into one frame and one file name. */
export function isPairName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && new TextEncoder().encode(value).length <= 255;
}

const share = (fallback: number, limit: number) =>
  such(
    fallback,
    `a number from 0 to ${limit}`,
    (value) => typeof value === 'number' && value >= 0 && value <= limit,
  );

const endpointLike = (value: unknown): boolean => typeof value === 'string' && value !== '';

function isStore(value: unknown): boolean {
  if (typeof value === 'string') return value !== '';
  if (typeof value !== 'object' || value === null) return false;
  const methods = value as Record<string, unknown>;
  return ['read', 'write', 'close'].every((name) => typeof methods[name] === 'function');
}

const storeRule = such<string | EpochStore | undefined>(
  undefined,
  'a path, or an object with read(), write() and close()',
  isStore,
);

const text = (what: string) => such<string | undefined>(undefined, what, endpointLike);

export const binaryStarRules = {
  ...commonRules,
  role: such<Role | undefined>(
    undefined,
    "'primary' or 'backup'",
    (value) => value === 'primary' || value === 'backup',
  ),
  name: such('pair', 'text of 1 to 255 bytes', isPairName),
  peer: text('the endpoint at which the other one is bound'),
  witness: text('the endpoint of a witness'),
  store: storeRule,
  protocol: oneOf<PairProtocol>('own', ['own', 'stock']),
  advertise: text('the endpoint at which clients reach this server'),
  heartbeatInterval: optionalMilliseconds,
  heartbeatLiveness: such<number | undefined>(undefined, 'a whole number, 2 or more', (value) =>
    count(2, 2).accepts(value),
  ),
  noticeGrace: milliseconds(100, 0),
  lease: such(
    1000,
    `milliseconds, 10 to ${LEASE_LIMIT}`,
    (value) => milliseconds(1000, 10).accepts(value) && Number(value) <= LEASE_LIMIT,
  ),
  clockDrift: share(0.01, 0.2),
};

export const witnessRules = {
  ...commonRules,
  store: storeRule,
  pairLimit: count(1024),
} satisfies Rules<WitnessOptions>;
