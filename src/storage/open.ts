/** Opens a storage: in a directory, or on any engine. */
import { StorageError } from '../core/errors.ts';
import { checkOptions } from '../core/options.ts';
import type { Engine } from './engine.ts';
import { LevelEngine, levelRules, type LevelEngineOptions } from './level-engine.ts';
import { storageRules, type StorageOptions } from './options.ts';
import { Storage, type StorageOpening } from './storage.ts';

/** Of both the storage and its engine; `ballastBytes` is for directories. */
export interface OpenStorageOptions extends StorageOptions, LevelEngineOptions {}

const openStorageRules = { ...levelRules, ...storageRules };

/** Who wants to be told what, and when. */
export type StorageListener = Partial<Pick<StorageOpening, 'each' | 'onState'>>;

/**
 * Opens the storage in a directory, which is created if it is missing, or on an engine. Every record has
 * been read and verified when this resolves.
 * @throws StorageError `ERR_STORAGE_IN_USE`, `_UNAVAILABLE`, `_CORRUPT`, `_VERSION` or `_FULL`
 * @throws InvalidArgumentError for an unknown or bad option
 */
export async function openStorage(
  place: string | Engine,
  options?: OpenStorageOptions,
  listener?: StorageListener,
): Promise<Storage> {
  const { ballastBytes, ...ofStorage } =
    checkOptions('openStorage', openStorageRules, options) ?? {};
  if (typeof place !== 'string') return openOn(place, ofStorage, listener);
  const engine = await LevelEngine.open(place, { ballastBytes, damage: ofStorage.damage });
  try {
    return await openOn(engine, ofStorage, listener);
  } catch (error) {
    if (!(error instanceof StorageError) || error.message.includes(place)) throw error;
    throw new StorageError(error.code, `${place}: ${error.message}`, { cause: error });
  }
}

const ignored = (): void => undefined;

function openOn(
  engine: Engine,
  options: StorageOptions,
  { each, onState }: StorageListener = {},
): Promise<Storage> {
  return new Promise((resolve, reject) => {
    const opening = { options, each: each ?? ignored, onState: onState ?? ignored };
    Storage.open(engine, opening, (error, storage) => {
      if (storage === undefined) reject(error!);
      else resolve(storage);
    });
  });
}
