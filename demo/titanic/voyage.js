// @ts-check
/**
 * The voyage: all requests are handed over before there is anybody to execute them. Then the workers come,
 * and everything is killed again and again, while every second answer is collected as soon as it is there;
 * the others are collected at the end.
 *
 * @typedef {import('./fleet.js').Fleet} Fleet
 * @typedef {import('./tally.js').Tally} Tally
 */
import { TitanicClient } from 'unsinkable/titanic';
import { seededRandom } from 'unsinkable/core';
import { now } from '../digest/logbook.js';
import { answerTo, bodyOf, idOf } from '../digest/requests.js';

/** Requests that are handed over, and answers that are waited for, at a time. */
const LANES = 500;

/** One request more in so many is called off before it is due: it must never be executed. */
const CALLED_OFF = 50;

/** Milliseconds before a request that is called off would be executed: within the next life. */
const DELAY = 2000;

/**
 * @param {object} run
 * @param {Fleet} run.fleet
 * @param {string} run.endpoint
 * @param {Tally} run.tally
 * @param {number} run.seed
 * @param {Promise<never>} run.stop
 * @throws what `stop` is rejected with
 */
export async function sail({ fleet, endpoint, tally, seed, stop }) {
  const client = new TitanicClient({
    timeout: 60_000,
    inFlightLimit: LANES,
    // A killed broker tells nobody: this is how soon it is missed.
    heartbeatInterval: 200,
  });
  client.connect(endpoint);
  const voyage = async () => {
    const numbers = Array.from({ length: tally.requests }, (_, index) => index);
    await inLanes(numbers, (request) => submit(client, tally, request));
    await callOff(client, tally);
    await fleet.startWorkers();
    const atOnce = numbers.filter((request) => request % 2 === 0);
    const inTheEnd = numbers.filter((request) => request % 2 === 1);
    await Promise.all([
      killAgainAndAgain(fleet, tally, seededRandom(seed)),
      inLanes(atOnce, (request) => collect(client, tally, request)),
    ]);
    await inLanes(inTheEnd, (request) => collect(client, tally, request));
    const { delayed, waiting, running, done, dead } = await client.admin.overview();
    tally.left = delayed + waiting + running + done + dead;
  };
  try {
    await Promise.race([voyage(), stop]);
  } finally {
    tally.isOver = true;
    await client.close();
  }
}

/**
 * @template Item
 * @param {readonly Item[]} items
 * @param {(item: Item) => Promise<void>} act
 */
async function inLanes(items, act) {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: LANES }, async () => {
      for (const item of queue) await act(item);
    }),
  );
}

/**
 * @param {TitanicClient} client
 * @param {Tally} tally
 * @param {number} request
 */
async function submit(client, tally, request) {
  // Every kill costs an attempt of what it hits: here that is no sign of a bad request.
  const retries = tally.killsWanted + 10;
  await client.submit('digest', bodyOf(request), { id: idOf(request), retries, backoff: 100 });
  tally.submitted++;
}

/**
 * Hands over a few more requests, for later, and closes them before they are due.
 * @param {TitanicClient} client
 * @param {Tally} tally
 */
async function callOff(client, tally) {
  const count = Math.ceil(tally.requests / CALLED_OFF);
  const numbers = Array.from({ length: count }, (_, index) => tally.requests + index);
  await inLanes(numbers, async (request) => {
    const id = idOf(request);
    await client.submit('digest', bodyOf(request), { id, delay: DELAY });
    await client.forget(id);
    tally.close(request, now());
    tally.calledOff++;
  });
}

/**
 * @param {TitanicClient} client
 * @param {Tally} tally
 * @param {number} request
 */
async function collect(client, tally, request) {
  const id = idOf(request);
  try {
    const reply = await client.fetch(id, { wait: Infinity });
    const [answer, execution] = (reply?.body ?? []).map((frame) => Buffer.from(frame).toString());
    tally.answer(request, answer === answerTo(bodyOf(request)), execution ?? '', now());
    await client.forget(id);
    tally.close(request, now());
  } catch (error) {
    tally.lose(request, error);
  }
}

/**
 * @param {Fleet} fleet
 * @param {Tally} tally
 * @param {() => number} random
 */
async function killAgainAndAgain(fleet, tally, random) {
  for (let kill = 0; kill < tally.killsWanted; kill++) {
    const share = (kill + random()) / (tally.killsWanted + 1);
    await fleet.hasExecuted(Math.floor(share * tally.requests) + 1);
    const killedAt = now();
    const held = await fleet.killAll(random);
    const goneAt = now();
    await Promise.all([fleet.start(), fleet.startWorkers()]);
    tally.kill({ killedAt, goneAt, servedAt: now(), held });
  }
}
