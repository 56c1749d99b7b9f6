/** What users say to a CloneClient beside what its machine needs, and for one call. */
import { optionalCount, optionalMilliseconds, optionalSignal } from '../../core/common-options.ts';
import { count, milliseconds, oneOf, such, type Rule, type Rules } from '../../core/options.ts';
import { clientRules, LONGEST_WRITE, type CloneClientOptions } from '../options.ts';
import { VALUE_CODECS, type ValueCodecName } from '../values.ts';

export interface CloneClientShellOptions extends CloneClientOptions {
  /** How values are written and read. Default `bytes`. */
  readonly codec?: ValueCodecName | undefined;
  /**
   * `own`: to servers of this library, over one link. `chp`: to stock servers of 12/CHP too, over three, where
   * a write is told by nobody to have failed, `ifMatch` does not exist, and gaps of a subtree stay unseen.
   * Default `own`.
   */
  readonly protocol?: 'own' | 'chp' | undefined;
}

export const cloneClientRules = {
  ...clientRules,
  codec: oneOf<ValueCodecName>('bytes', VALUE_CODECS),
  protocol: oneOf<'own' | 'chp'>('own', ['own', 'chp']),
} satisfies Rules<CloneClientShellOptions>;

export interface CloneWriteOptions {
  /** Milliseconds for this write, whatever happens to servers. Default the client's, at most 300,000. */
  readonly timeout?: number | undefined;
  /** Aborting it waits no longer: the write may be done all the same. */
  readonly signal?: AbortSignal | undefined;
}

export interface CloneDeleteOptions extends CloneWriteOptions {
  /** Only if the key has this revision; 0: only if there is no such key. */
  readonly ifMatch?: number | undefined;
}

export interface CloneSetOptions extends CloneDeleteOptions {
  /** Milliseconds until the server deletes it. Without, it stays, even if it had one before. */
  readonly ttl?: number | undefined;
}

export interface CloneUpdateOptions extends CloneWriteOptions {
  /** As of `set`. */
  readonly ttl?: number | undefined;
}

export interface CloneWatchOptions {
  /** Begins with what is there already, a `set` for each key. Default false. */
  readonly initial?: boolean | undefined;
  /** Changes that wait for a slow reader; of more, each key keeps its last one. Default 10,000. */
  readonly bufferLimit?: number | undefined;
  /** Aborting it ends the watch, with an error. */
  readonly signal?: AbortSignal | undefined;
}

export interface CloneSynchronisedOptions {
  /** Milliseconds. Default 10,000. */
  readonly timeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const optionalWriteTimeout: Rule<number | undefined> = such<number | undefined>(
  undefined,
  `milliseconds, 1 to ${LONGEST_WRITE}`,
  (value) => milliseconds(1).accepts(value) && Number(value) <= LONGEST_WRITE,
);

export const writeRules = {
  timeout: optionalWriteTimeout,
  signal: optionalSignal,
} satisfies Rules<CloneWriteOptions>;

export const deleteRules = {
  ...writeRules,
  ifMatch: optionalCount,
} satisfies Rules<CloneDeleteOptions>;

export const setRules = {
  ...deleteRules,
  ttl: optionalMilliseconds,
} satisfies Rules<CloneSetOptions>;

export const updateRules = {
  ...writeRules,
  ttl: optionalMilliseconds,
} satisfies Rules<CloneUpdateOptions>;

export const watchRules = {
  initial: such(false, 'true or false', (value) => typeof value === 'boolean'),
  bufferLimit: count(10_000),
  signal: optionalSignal,
} satisfies Rules<CloneWatchOptions>;

export const synchronisedRules = {
  timeout: milliseconds(10_000),
  signal: optionalSignal,
} satisfies Rules<CloneSynchronisedOptions>;
