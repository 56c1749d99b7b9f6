// @ts-check
/**
 * The work of this demo: replicas write all at once, while their links are cut and the server is killed. In
 * the end all of them are compared with one another, and with what was acknowledged.
 *
 * @typedef {import('./fleet.js').Fleet} Fleet
 * @typedef {import('./tally.js').Tally} Tally
 */
import { setTimeout as delay } from 'node:timers/promises';
import { seededRandom } from 'unsinkable/core';
import { Replica } from './replica.js';

/** Milliseconds from one cut to the next. */
const CALM = { least: 20, spread: 150 };

/**
 * @param {object} run
 * @param {Fleet} run.fleet
 * @param {readonly string[]} run.endpoints
 * @param {Tally} run.tally
 * @param {number} run.seed
 * @param {Promise<never>} run.stop
 * @throws what `stop` is rejected with
 */
export async function sail({ fleet, endpoints, tally, seed, stop }) {
  /** @type {Replica[]} */
  const replicas = [];
  const work = async () => {
    for (let index = 0; index < tally.replicas; index++) {
      replicas.push(await Replica.open(index, endpoints, tally));
    }
    await Promise.all(replicas.map((replica) => replica.hasAll()));
    const written = Promise.all(
      replicas.map((replica, index) => replica.write(shareOf(tally, index))),
    );
    await Promise.all([written, kill(fleet, tally), cut(replicas, tally, seededRandom(seed))]);
    const newest = Math.max(...replicas.map((replica) => replica.newest));
    await Promise.all(replicas.map((replica) => replica.hasAll(newest)));
    // One that has seen nothing of all that: what it has is what the server has.
    const witness = await Replica.open(tally.replicas, endpoints, tally);
    replicas.push(witness);
    await witness.hasAll(newest);
    // The last cut may have been noticed later than all this.
    while (!replicas.every((replica) => replica.isWhole) && !tally.isOver) await delay(5);
    tally.compare(
      witness.state,
      replicas.slice(0, -1).map((replica) => replica.state),
    );
  };
  try {
    await Promise.race([work(), stop]);
  } finally {
    tally.isOver = true;
    await Promise.all(replicas.map((replica) => replica.close()));
  }
}

/**
 * @param {Tally} tally
 * @param {number} index
 */
function shareOf({ updates, replicas }, index) {
  return Math.floor(updates / replicas) + (index < updates % replicas ? 1 : 0);
}

/**
 * Kills the server that serves, each time that enough was written.
 * @param {Fleet} fleet
 * @param {Tally} tally
 */
async function kill(fleet, tally) {
  while (tally.kills < tally.killsWanted && !tally.isOver) {
    await fleet.isWhole();
    if (tally.isKillDue) {
      await fleet.killActive(tally.underWay);
      tally.kills++;
    } else await delay(1);
  }
}

/**
 * Cuts links until all is written.
 * @param {readonly Replica[]} replicas
 * @param {Tally} tally
 * @param {() => number} random
 */
async function cut(replicas, tally, random) {
  while (tally.acknowledged + tally.lost < tally.updates && !tally.isOver) {
    await delay(CALM.least + random() * CALM.spread);
    tally.cuts += replicas[Math.floor(random() * replicas.length)]?.cut() ?? 0;
  }
}
