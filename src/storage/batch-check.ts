/** Batches are checked at the call: a bad one is a mistake in the program, not an event of the disk. */
import type { StorageBatch } from '../core/batch.ts';
import { InvalidArgumentError } from '../core/errors.ts';
import type { Frames } from '../core/machine.ts';
import { recordLength } from './record.ts';

/** Keys that begin so are the storage's own. */
export const OWN_PREFIX = '!';

/** Bytes that one record may have. */
const RECORD_LIMIT = 2 ** 30;

const KEY = /^(?!!)[ -~]{1,512}$/;

/**
 * Checks a batch.
 * @param isForeign true of keys that are in the storage although nobody could have put them
 * @returns bytes that its records will have
 * @throws InvalidArgumentError `ERR_INVALID_ARGUMENT`, naming what is wrong
 */
export function checkBatch(batch: StorageBatch, isForeign: (key: string) => boolean): number {
  if (typeof batch !== 'object' || batch === null) refuse('a batch must be an object');
  const { puts, deletes } = batch;
  if (!Array.isArray(puts) || !Array.isArray(deletes))
    refuse('a batch has arrays puts and deletes');
  let bytes = 0;
  for (const put of batch.puts) {
    if (typeof put !== 'object' || put === null) refuse('a put has a key and a value');
    const { key, value } = put;
    checkKey(key);
    bytes += key.length + checkValue(key, value);
  }
  for (const key of batch.deletes) {
    if (!isForeign(key)) checkKey(key);
    bytes += key.length;
  }
  checkNamedOnce(batch);
  return bytes;
}

/** @throws InvalidArgumentError `ERR_INVALID_ARGUMENT` unless `key` can be one */
export function checkKey(key: string): void {
  if (typeof key !== 'string' || !KEY.test(key)) {
    refuse(`a key has 1 to 512 printable ASCII characters and no ! in front, unlike ${show(key)}`);
  }
}

function checkValue(key: string, value: Frames): number {
  if (!Array.isArray(value)) refuse(`the value of ${show(key)} must be an array of frames`);
  for (const frame of value) {
    if (!(frame instanceof Uint8Array)) refuse(`a frame of ${show(key)} is not a Uint8Array`);
  }
  const length = recordLength(value);
  if (length > RECORD_LIMIT) refuse(`${show(key)} would have ${length} bytes of ${RECORD_LIMIT}`);
  return length;
}

/** All of a batch happens at one moment: which change of a key came first would be anybody's guess. */
function checkNamedOnce({ puts, deletes }: StorageBatch): void {
  const count = puts.length + deletes.length;
  if (count < 2) return;
  const keys = new Set(deletes);
  for (const { key } of puts) keys.add(key);
  if (keys.size < count) refuse(`a batch names each key once, unlike ${namedTwice(puts, deletes)}`);
}

function namedTwice(puts: StorageBatch['puts'], deletes: readonly string[]): string {
  const keys = [...puts.map(({ key }) => key), ...deletes];
  return show(keys.find((key, index) => keys.indexOf(key) < index));
}

function show(key: unknown): string {
  return typeof key === 'string' ? JSON.stringify(key.slice(0, 80)) : `a ${typeof key}`;
}

function refuse(what: string): never {
  throw new InvalidArgumentError('ERR_INVALID_ARGUMENT', `Storage: ${what}`);
}
