/** `unsinkable/storage`: records that are durable before they are acknowledged. */
export type { StorageBatch, StoragePut, StorageState } from '../core/batch.ts';
export {
  InvalidArgumentError,
  StorageError,
  UnsinkableError,
  type StorageErrorCode,
} from '../core/errors.ts';
export type { Frames } from '../core/machine.ts';
export type { CommitError, Engine, Operation } from './engine.ts';
export { LevelEngine, type LevelEngineOptions } from './level-engine.ts';
export { MemoryEngine } from './memory-engine.ts';
export { openStorage, type OpenStorageOptions, type StorageListener } from './open.ts';
export type { Durability, StorageFormat, StorageOptions, StorageStatus } from './options.ts';
export { Storage, type StorageOpening } from './storage.ts';
