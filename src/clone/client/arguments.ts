/** What users may ask for: mistakes become errors that say what to write instead. */
import { CloneError, InvalidArgumentError } from '../../core/errors.ts';
import { isKey, isSubtree, isUnder, KEY_LIMIT } from '../key.ts';

const SHOWN = 60;

/** @throws CloneError `ERR_INVALID_KEY` */
export function checkKey(key: unknown): void {
  if (typeof key === 'string' && isKey(key)) return;
  const what = `a key is a path such as '/config/db/host', at most ${KEY_LIMIT} bytes, without control characters`;
  throw refusal(key, `is no key: ${what}`);
}

/** @throws CloneError `ERR_INVALID_KEY` */
export function checkSubtree(subtree: unknown): void {
  if (typeof subtree === 'string' && isSubtree(subtree)) return;
  const what = `that is '' for everything, a path such as '/config/db/', or a key, at most ${KEY_LIMIT} bytes`;
  throw refusal(subtree, `is no subtree: ${what}`);
}

/**
 * @param subtree or key that is asked for
 * @param call that needs it to be followed
 * @throws InvalidArgumentError `ERR_INVALID_ARGUMENT` if a client that follows `followed` does not have it
 */
export function checkWithin(followed: string, subtree: string, call: string): void {
  if (subtree === followed || isUnder(followed, subtree)) return;
  const message = `cannot ${call} '${subtree}': this client has what is under '${followed}' only`;
  throw new InvalidArgumentError('ERR_INVALID_ARGUMENT', message);
}

/** @throws InvalidArgumentError `ERR_INVALID_ARGUMENT` */
export function checkChange(change: unknown): void {
  if (typeof change === 'function') return;
  const message = `update: what changes the value must be a function, not ${typeof change}`;
  throw new InvalidArgumentError('ERR_INVALID_ARGUMENT', message);
}

function refusal(given: unknown, why: string): CloneError {
  if (typeof given !== 'string') {
    return new CloneError('ERR_INVALID_KEY', '', `a value of type ${typeof given} ${why}`);
  }
  const shown =
    given.length > SHOWN ? `${given.slice(0, SHOWN)}…' (${given.length} long)` : `${given}'`;
  return new CloneError('ERR_INVALID_KEY', given.slice(0, KEY_LIMIT), `'${shown} ${why}`);
}
