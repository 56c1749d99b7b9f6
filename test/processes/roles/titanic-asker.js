/**
 * What a client asks of a Titanic, and writes down about it.
 *
 * @typedef {{ id: string, payload: string, work: number, fate: 'reply' | 'dead' }} Order
 *   the body of a request; `work` in milliseconds
 * @typedef {{ work?: number, delay?: number, fate?: 'reply' | 'dead', copies?: number,
 *   retries?: number }} Wishes
 */
import { randomBytes } from 'node:crypto';
import { RequestError, TitanicError } from 'unsinkable/core';
import { tell } from './common.js';
import { digestOf, historian, now } from './titanic-history.js';

/** Attempts that a request may cost where everything is killed all the time. */
const RETRIES = 10_000;

/** Ends what was begun with one request: what was asked last may have been done, or not. */
export class Failure extends Error {}

export class Asker {
  #client;
  #record;
  /** Payloads that a reply has to be the digest of. @type {Map<string, string>} */
  #payloads = new Map();

  /**
   * @param {import('unsinkable/titanic').TitanicClient} client
   * @param {string} history
   */
  constructor(client, history) {
    this.#client = client;
    this.#record = historian(history);
  }

  /**
   * A new request, submitted `copies` times at once.
   * @param {Wishes} wishes
   * @returns {Promise<string>} its id
   */
  async submit({ work = 0, delay = 0, fate = 'reply', copies = 1, retries = RETRIES }) {
    const id = randomBytes(16).toString('hex');
    const payload = randomBytes(20 + (Number.parseInt(id.slice(0, 2), 16) % 5) * 400).toString(
      'hex',
    );
    this.#payloads.set(id, payload);
    const body = JSON.stringify({ id, payload, work, fate });
    const failures = fate === 'dead' ? retries : 0;
    this.#record({ type: 'submitting', id, at: now(), delay, fate, failures });
    const submits = Array.from({ length: copies }, () =>
      this.#ask(id, async () => {
        await this.#client.submit('digest', body, { id, delay, retries, backoff: 20 });
        this.#record({ type: 'submitted', id, at: now() });
        tell({ type: 'submitted', id });
      }),
    );
    await Promise.all(submits);
    return id;
  }

  /**
   * Asks for its reply, and waits as long as it takes.
   * @param {string} id
   * @param {number} [wait] milliseconds
   * @returns {Promise<'fetched' | 'dead' | 'pending' | 'unknown'>}
   */
  fetch(id, wait = 120_000) {
    const askedAt = now();
    return this.#ask(id, async () => {
      try {
        const reply = await this.#client.fetch(id, { wait });
        const at = now();
        if (reply === undefined) {
          this.#record({ type: 'pending', id, at, askedAt });
          return 'pending';
        }
        this.#record({ type: 'fetched', id, at, askedAt, ...this.#judged(id, reply) });
        tell({ type: 'fetched', id });
        return 'fetched';
      } catch (error) {
        const type = typeOf(error);
        if (type === undefined) throw error;
        this.#record({ type, id, at: now(), askedAt });
        return type;
      }
    });
  }

  /** @param {string} id */
  async close(id) {
    this.#record({ type: 'closing', id, at: now() });
    await this.#ask(id, () => this.#client.forget(id));
    this.#record({ type: 'closed', id, at: now() });
    tell({ type: 'closed', id });
    this.#payloads.delete(id);
  }

  /** Writes down all that the Titanic lists. */
  async list() {
    const ids = [];
    for await (const { id } of this.#client.admin.list()) ids.push(id);
    this.#record({ type: 'listed', ids });
  }

  /**
   * @template Result
   * @param {string} id
   * @param {() => Promise<Result>} ask
   */
  async #ask(id, ask) {
    try {
      return await ask();
    } catch (error) {
      // What else is thrown ends this process.
      if (!(error instanceof RequestError || error instanceof TitanicError)) throw error;
      const { code, message } = error;
      this.#record({ type: 'failed', id, at: now(), code });
      tell({ type: 'failed', id, code, message });
      throw new Failure(code, { cause: error });
    }
  }

  /**
   * @param {string} id
   * @param {import('unsinkable/core').Payload} reply
   */
  #judged(id, reply) {
    const payload = this.#payloads.get(id);
    /** @type {{ id: string, digest: string }} */
    const { id: answers, digest } = reply.json();
    // Of those of others only the digest is unknown.
    const intact = answers === id && (payload === undefined || digest === digestOf(payload));
    return { intact, reply: digestOf(Buffer.concat(reply.body)) };
  }
}

/** @param {unknown} error */
function typeOf(error) {
  if (!(error instanceof TitanicError)) return undefined;
  if (error.code === 'ERR_UNKNOWN_REQUEST') return 'unknown';
  // A kill may cost the last attempt, of which nobody knows how it ended.
  if (error.code === 'ERR_HANDLER_FAILED' || error.code === 'ERR_ATTEMPTS_EXHAUSTED') return 'dead';
  return undefined;
}
