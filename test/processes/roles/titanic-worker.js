/**
 * A worker whose requests say themselves how long they take, and whether they fail. It tells when one
 * begins, and ends when nobody holds its stdin any more. No two of its replies are the same.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { MajordomoWorker } from 'unsinkable/majordomo';
import { settings, tell } from './common.js';
import { digestOf, historian, now } from './titanic-history.js';

/**
 * @type {{ name: string, history: string, endpoint: string,
 *   options: import('unsinkable/majordomo').WorkerOptions }}
 */
const { name, history, endpoint, options } = settings();

process.stdin.on('end', () => process.exit()).resume();
const record = historian(history);

/** @param {import('unsinkable/majordomo').WorkerRequest} request */
async function digest(request) {
  /** @type {import('./titanic-asker.js').Order} */
  const { id, payload, work, fate } = request.json();
  record({ type: 'handled', id, at: now(), worker: name });
  tell({ type: 'handling', id });
  await setTimeout(work);
  if (fate === 'dead') throw new Error('this one always fails');
  return JSON.stringify({ id, digest: digestOf(payload), only: randomUUID() });
}

const worker = new MajordomoWorker('digest', digest, { concurrency: 100, ...options });
worker.on('ready', tell);
worker.connect(endpoint);
