/**
 * A storage as a process of its own: it writes batches from number `from` to number `to`, up to `atOnce`
 * at a time, tells of each that it was acknowledged (a hasty one: before), and ends.
 */
import { openStorage } from 'unsinkable/storage';
import { settings, tell } from './common.js';

/**
 * @type {{ directory: string, from: number, to: number, atOnce: number, bytes: number, isHasty?: boolean,
 *   options: import('unsinkable/storage').OpenStorageOptions }}
 */
const { directory, from, to, atOnce, bytes, isHasty, options } = settings();

const storage = await openStorage(directory, options);
let next = from;

/**
 * @param {string} text
 * @returns {Uint8Array[]}
 */
function frames(text) {
  return [Buffer.from(text.padEnd(bytes, '.'))];
}

/**
 * Each batch says how many there were, adds a record, and deletes an older one.
 * @param {number} batch
 * @returns {Promise<void>}
 */
function write(batch) {
  const puts = [
    { key: 'count', value: frames(`${batch}`) },
    { key: `record:${batch}`, value: frames(`record ${batch}`) },
  ];
  return new Promise((resolve, reject) => {
    if (isHasty) tell({ type: 'written', batch });
    storage.write({ puts, deletes: [`record:${batch - 3}`] }, (error) => {
      if (error !== undefined) return reject(error);
      if (!isHasty) tell({ type: 'written', batch });
      resolve();
    });
  });
}

async function keepWriting() {
  while (next <= to) await write(next++);
}

await Promise.all(Array.from({ length: atOnce }, keepWriting));
await new Promise((resolve) => storage.close(() => resolve(undefined)));
