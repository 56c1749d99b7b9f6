/** Engines with a planted bug, to see whether it is noticed. */
import { setTimeout } from 'node:timers/promises';
import { LevelEngine } from 'unsinkable/storage';

/** Milliseconds that the hasty one is ahead of its disk. */
const AHEAD = 20;

/**
 * `hasty`: acknowledges before anything is written. `forgetful`: no close reaches the disk.
 * @param {string} directory
 * @param {'hasty' | 'forgetful'} fault
 * @returns {Promise<import('unsinkable/storage').Engine>}
 */
export async function faultyEngine(directory, fault) {
  const engine = await LevelEngine.open(directory, { damage: 'accept' });
  /** @type {Promise<unknown>} */
  let written = Promise.resolve();

  /** @type {import('unsinkable/storage').Engine['commit']} */
  function commitLater(operations, sync, done) {
    written = written
      .then(() => setTimeout(AHEAD))
      .then(() => new Promise((resolve) => engine.commit(operations, sync, resolve)));
    done(undefined);
  }

  /** @type {import('unsinkable/storage').Engine['commit']} */
  function commitNoClose(operations, sync, done) {
    const closed = new Set(
      operations.flatMap(({ key }) => (key.startsWith('closed:') ? [key.split(':')[1]] : [])),
    );
    const kept = operations.filter(({ key }) => !closed.has(key.split(':')[1]));
    engine.commit(kept, sync, done);
  }

  return {
    scan: (each, done) => engine.scan(each, done),
    commit: fault === 'hasty' ? commitLater : commitNoClose,
    read: (key, done) => engine.read(key, done),
    reopen: (done) => engine.reopen(done),
    release: () => engine.release(),
    reserve: (done) => engine.reserve(done),
    note: () => undefined,
    noted: 0,
    size: () => engine.size(),
    close: (done) => engine.close(done),
  };
}
