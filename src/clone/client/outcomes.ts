/** How a write ended, as its caller sees it: what was done, or an error that says what to do. */
import { CloneError } from '../../core/errors.ts';
import type { WriteOutcome } from '../client-events.ts';
import type { WriteRefusal } from '../commands.ts';

/** A write that was done. */
export interface CloneWrite {
  /** The sequence of its update: what the key has from now on, if it was set. */
  readonly revision: number;
  /** The other server of a pair has it too. */
  readonly replicated: boolean;
}

type Unfinished = Exclude<WriteOutcome, { readonly outcome: 'done' }>;

/**
 * @param key or subtree that it was about
 * @param timeout milliseconds that it had
 */
export function errorOf(
  outcome: Unfinished,
  key: string,
  timeout: number,
  cause?: unknown,
): CloneError {
  switch (outcome.outcome) {
    case 'refused':
      return refusalOf(outcome.refusal, key, outcome.revision, outcome.retryAfter);
    case 'queueFull': {
      const message = `the write of '${key}' was not sent: too many wait: await some, or raise queueLimit or queueBytes`;
      return new CloneError('ERR_QUEUE_FULL', key, message);
    }
    case 'timeout': {
      const { maybeDone } = outcome;
      const what = maybeDone ? 'it may have been done' : 'it was not sent: does a server serve?';
      const message = `no server acknowledged the write of '${key}' within ${timeout} ms: ${what}`;
      return new CloneError('ERR_WRITE_TIMEOUT', key, message, { maybeDone });
    }
    case 'abandoned': {
      const { maybeDone } = outcome;
      const message = `the write of '${key}' was cancelled by its signal`;
      return new CloneError('ERR_CANCELLED', key, message, { maybeDone, cause });
    }
    case 'closed': {
      const { maybeDone } = outcome;
      const message = `the client was closed before the write of '${key}' was acknowledged`;
      return new CloneError('ERR_CLOSED', key, message, { maybeDone });
    }
  }
}

function refusalOf(
  refusal: WriteRefusal,
  key: string,
  revision: number,
  retryAfter: number | undefined,
): CloneError {
  switch (refusal) {
    case 'conflict': {
      const has = revision === 0 ? 'there is no such key' : `the key has revision ${revision}`;
      return new CloneError('ERR_CONFLICT', key, `'${key}' has changed: ${has}`, { revision });
    }
    case 'invalidKey':
      return new CloneError('ERR_INVALID_KEY', key, `the server says that '${key}' is no key`);
    case 'invalidValue': {
      const message = `the value for '${key}' is larger than the server's valueBytes`;
      return new CloneError('ERR_VALUE_TOO_LARGE', key, message);
    }
    case 'full': {
      const message = `'${key}' was not set: the server has as many keys or bytes as it may`;
      return new CloneError('ERR_STATE_FULL', key, message, { retryAfter });
    }
    case 'busy': {
      const message = `'${key}' was not written: the server has too many writes in its hands`;
      return new CloneError('ERR_QUEUE_FULL', key, message, { retryAfter });
    }
    case 'storageFailed': {
      const message = `'${key}' was not written: the server's storage does not take it`;
      return new CloneError('ERR_STORAGE_FAILED', key, message, { retryAfter });
    }
  }
}
