/** What clients of all patterns ask, and what workers and servers answer: the digest of a payload. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readSync } from 'node:fs';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { RequestError } from 'unsinkable/core';
import { recorder, tell } from './common.js';

/**
 * A handler that replies after `delay` milliseconds; if told to hold, when the process is given a line on
 * stdin; if told to block, likewise, but with its event loop standing still; if told to watch, when
 * nobody waits for the reply any more. What it tells, `handling` and `settled`, says how many run.
 * @param {{ name: string, history: string, delay?: number, mode?: string }} settings
 */
export function digester({ name, history, delay = 10, mode = 'delay' }) {
  const record = recorder(history);
  // Once looked at, stdin can no longer be read while the event loop stands still.
  if (mode !== 'block') process.stdin.setMaxListeners(0).unref();

  /** @param {AbortSignal} signal */
  async function release(signal) {
    if (mode === 'delay') await setTimeout(delay);
    else if (mode === 'block') readSync(0, Buffer.alloc(64));
    else if (mode === 'hold') await nextLine();
    else if (!signal.aborted) await once(signal, 'abort');
  }

  /** @param {import('unsinkable/core').Payload & { signal: AbortSignal, attempt?: number }} request */
  return async function digest(request) {
    /** @type {{ id: string, payload: string }} */
    const { id, payload } = request.json();
    const { attempt, signal } = request;
    record({ type: 'handled', id, worker: name });
    // Blocking outside of the receive turn: the reply leaves before anything else is received.
    if (mode === 'block') await setImmediate();
    tell({ type: 'handling', id, attempt });
    await release(signal);
    if (signal.aborted) tell({ type: 'aborted', id });
    tell({ type: 'settled', id });
    return JSON.stringify({ id, worker: name, digest: digestOf(payload) });
  };
}

/** All that wait get the same line; who waits keeps the process alive, also without a socket. */
async function nextLine() {
  process.stdin.ref();
  await once(process.stdin, 'data');
  process.stdin.unref();
}

/**
 * Keeps `concurrency` requests in flight until `requests` of them were sent or a line comes on stdin, and
 * writes down what became of each. Resolves when all have ended.
 * @param {{ name: string, history: string, requests?: number, concurrency?: number }} settings
 * @param {(body: string) => Promise<import('unsinkable/core').Payload>} request
 */
export async function keepAsking({ name, history, requests, concurrency = 4 }, request) {
  const record = recorder(history);
  let sent = 0;
  let limit = requests ?? Infinity;
  process.stdin.once('data', () => (limit = sent)).unref();

  async function ask() {
    const id = `${name}/${++sent}`;
    const payload = randomBytes(1 + (sent % 5) * 700).toString('hex');
    record({ type: 'requested', id, client: name });
    const askedAt = performance.now();
    try {
      const reply = await request(JSON.stringify({ id, payload }));
      const took = performance.now() - askedAt;
      /** @type {{ id: string, worker: string, digest: string }} */
      const { id: answers, worker, digest } = reply.json();
      const intact = digest === digestOf(payload);
      record({ type: 'replied', id, client: name, answers, worker, intact });
      tell({ type: 'replied', id, worker, took });
    } catch (error) {
      // What else is thrown ends this process.
      if (!(error instanceof RequestError)) throw error;
      const { code } = error;
      record({ type: 'failed', id, client: name, code });
      tell({ type: 'failed', id, code, message: error.message });
    }
  }

  async function loop() {
    while (sent < limit) await ask();
  }

  await Promise.all(Array.from({ length: concurrency }, loop));
}

/**
 * A short name of a payload's content.
 * @param {string} payload
 */
function digestOf(payload) {
  return createHash('sha256').update(payload).digest('hex');
}
