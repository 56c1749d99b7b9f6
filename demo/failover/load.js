// @ts-check
/**
 * The work of this demo: several clients ask without end, each request under a key of its own, while the
 * active broker is killed again and again. What was answered before a kill is asked once more after it,
 * under the same key: the answer has to be the same, of the same execution.
 *
 * @typedef {import('./fleet.js').Fleet} Fleet
 * @typedef {import('./tally.js').Tally} Tally
 */
import { setTimeout as delay } from 'node:timers/promises';
import { MajordomoClient, RequestError } from 'unsinkable';
import { seededRandom } from 'unsinkable/core';
import { now } from '../digest/logbook.js';
import { answerTo, bodyOf, idOf } from '../digest/requests.js';

const CLIENTS = 4;
/** Requests that each of them has under way. */
const LANES = 4;
/** Milliseconds between two requests of a lane, so that nobody waits for a core. */
const PAUSE = 10;
/** Milliseconds from when the pair is whole again until the next kill. */
const WAIT = { least: 300, spread: 400 };

/**
 * @param {object} run
 * @param {Fleet} run.fleet
 * @param {readonly string[]} run.endpoints
 * @param {Tally} run.tally
 * @param {number} run.seed
 * @param {Promise<never>} run.stop
 * @throws what `stop` is rejected with
 */
export async function askAndKill({ fleet, endpoints, tally, seed, stop }) {
  const askers = Array.from(
    { length: CLIENTS },
    (_, client) => new Asker(client, endpoints, tally),
  );
  const work = async () => {
    const random = seededRandom(seed);
    const asked = askers.map((asker) => asker.askOn());
    while (tally.kills.length < tally.killsWanted) {
      await fleet.isWhole();
      await delay(WAIT.least + random() * WAIT.spread);
      const remembered = askers.map((asker) => asker.last);
      tally.kill(await fleet.killActive(tally.underWay));
      await Promise.all(askers.map((asker, index) => asker.askAgain(remembered[index])));
    }
    tally.isDone = true;
    await Promise.all(asked);
  };
  try {
    await Promise.race([work(), stop]);
  } finally {
    tally.isOver = true;
    await Promise.all(askers.map((asker) => asker.close()));
  }
}

/** One client. */
class Asker {
  /** The request that was answered last, and of which execution. @type {{ request: number, execution: string } | undefined} */
  last;
  #index;
  #client;
  #tally;

  /**
   * @param {number} index
   * @param {readonly string[]} endpoints
   * @param {Tally} tally
   */
  constructor(index, endpoints, tally) {
    this.#index = index;
    this.#tally = tally;
    this.#client = new MajordomoClient({ retries: 50, drainTimeout: 0 });
    this.#client.on('retry', () => tally.retries++);
    this.#client.connect(endpoints);
  }

  /** Asks until the kills are done. */
  async askOn() {
    const lane = async () => {
      while (!this.#tally.isDone && !this.#tally.isOver) {
        await this.#ask();
        await delay(PAUSE);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
  }

  /**
   * Asks for what was answered before.
   * @param {{ request: number, execution: string } | undefined} before
   */
  async askAgain(before) {
    if (before === undefined) return;
    const { request, execution } = before;
    try {
      const answer = await this.#request(request);
      this.#tally.remember(request, answer.isRight && answer.execution === execution);
    } catch (error) {
      this.#lose(request, error);
    }
  }

  close() {
    return this.#client.close();
  }

  async #ask() {
    const request = this.#tally.ask();
    try {
      const { isRight, execution } = await this.#request(request);
      this.#tally.answer(this.#index, { request, isRight, execution, time: now() });
      this.last = { request, execution };
    } catch (error) {
      this.#lose(request, error);
    }
  }

  /** @param {number} request */
  async #request(request) {
    const body = bodyOf(request);
    const reply = await this.#client.request('digest', body, { idempotencyKey: idOf(request) });
    const [answer, execution = ''] = reply.body.map((frame) => Buffer.from(frame).toString());
    return { isRight: answer === answerTo(body), execution };
  }

  /**
   * @param {number} request
   * @param {unknown} error
   */
  #lose(request, error) {
    if (!(error instanceof RequestError)) throw error;
    this.#tally.lose(request, error);
  }
}
