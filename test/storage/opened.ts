/** A storage on an engine that answers at once, with all that it told. */
import type { StorageState } from '../../src/core/batch.ts';
import type { StorageError } from '../../src/core/errors.ts';
import { decodeText, encodeText } from '../../src/core/frames.ts';
import type { Frames } from '../../src/core/machine.ts';
import type { Engine } from '../../src/storage/engine.ts';
import type { StorageOptions } from '../../src/storage/options.ts';
import { Storage } from '../../src/storage/storage.ts';

export interface Opened {
  readonly storage: Storage;
  /** What was there, each value as words. */
  readonly found: Map<string, string>;
  /** States, and answers to `write`, in the order in which they came. */
  readonly log: string[];
}

export interface Opening {
  /** What was handed over. */
  readonly found: ReadonlyMap<string, string>;
  readonly error: StorageError | undefined;
  readonly opened: Opened | undefined;
}

/** Opens, or says why not. */
export function tryToOpen(engine: Engine, options?: StorageOptions): Opening {
  const found = new Map<string, string>();
  const log: string[] = [];
  const outcomes: Opening[] = [];
  Storage.open(
    engine,
    {
      options,
      each: (key, value) => found.set(key, words(value)),
      onState: (state: StorageState) => log.push(state),
    },
    (error, storage) => {
      outcomes.push({ found, error, opened: storage && { storage, found, log } });
    },
  );
  const [outcome] = outcomes;
  if (outcome === undefined || outcomes.length > 1) throw new Error('not answered once');
  return outcome;
}

/** Opens. */
export function open(engine: Engine, options?: StorageOptions): Opened {
  const { error, opened } = tryToOpen(engine, options);
  if (opened === undefined) throw error ?? new Error('neither error nor storage');
  return opened;
}

/** Writes a record; the log tells `key` or `key: code`. */
export function put({ storage, log }: Opened, key: string, text = key, urgent = false): void {
  storage.write({ puts: [{ key, value: frames(text) }], deletes: [], urgent }, (error) =>
    log.push(error === undefined ? key : `${key}: ${error.code}`),
  );
}

/** Deletes a record; the log tells `-key` or `-key: code`. */
export function remove({ storage, log }: Opened, key: string, urgent = true): void {
  storage.write({ puts: [], deletes: [key], urgent }, (error) =>
    log.push(error === undefined ? `-${key}` : `-${key}: ${error.code}`),
  );
}

/** What a read gives: words, `nothing`, or a code; undefined if it has not answered. */
export function read({ storage }: Opened, key: string): string | undefined {
  const answers: string[] = [];
  storage.read(key, (error, value) =>
    answers.push(error?.code ?? (value === undefined ? 'nothing' : words(value))),
  );
  return answers[0];
}

/** Words as frames. */
export function frames(text: string): Frames {
  return text === '' ? [] : text.split(' ').map(encodeText);
}

function words(value: Frames): string {
  return value.map(decodeText).join(' ');
}
