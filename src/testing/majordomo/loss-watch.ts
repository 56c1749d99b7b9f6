/**
 * Sees to it that what was lost on a live link is found within two expiries: from above, as nobody in
 * the run could, by comparing what both ends of each express link take to be under way.
 *
 * While anything else than silent loss is done to the run, or was just now, nothing is concluded.
 */
import { expiryOf, type HeartbeatSettings } from '../../core/heartbeat.ts';
import type { Instant } from '../../core/machine.ts';
import type { BrokerMachine } from '../../majordomo/broker/broker-machine.ts';
import { requireThat } from '../violation.ts';
import type { LinkChecker } from './link-checker.ts';
import { LARGE } from './plan.ts';
import type { MajordomoStage } from './stage.ts';
import type { WorkerChecker } from './worker-checker.ts';

/** Milliseconds between two looks. */
const PACE = 50;

/** What latency, jitter and late timers may add, on the way there and back. */
const SLACK = 200;

/** Both ends of everything that can be judged: what stays broken for ever cannot. */
export interface WatchedRun {
  broker(): BrokerMachine;
  workers(): Iterable<WorkerChecker>;
  links(): Iterable<LinkChecker>;
}

export class LossWatch {
  readonly #stage: MajordomoStage;
  readonly #run: WatchedRun;
  /** Since when something is known to one end alone. */
  #since = new Map<string, Instant>();
  #dropped = 0;
  #dropAt: Instant = 0;

  constructor(stage: MajordomoStage, run: WatchedRun) {
    this.#stage = stage;
    this.#run = run;
  }

  /** Looks again and again. */
  start(): void {
    const { world } = this.#stage;
    world.after(PACE, () => {
      this.#look(world.now);
      this.start();
    });
  }

  #look(now: Instant): void {
    const { dropped } = this.#stage.world.effects;
    if (dropped > this.#dropped) this.#dropAt = now;
    this.#dropped = dropped;
    // Behind a large message on a slow link heartbeats wait, and they are what finds a loss.
    const isHeldUp = this.#stage.network.largestInTransit() >= LARGE;
    if (isHeldUp) this.#stage.calmAt = Math.max(this.#stage.calmAt, now);
    const former = this.#since;
    this.#since = new Map();
    for (const [name, settings] of this.#oneSided()) {
      const since = former.get(name) ?? now;
      this.#since.set(name, since);
      if (now > since) this.#stage.count('lossWatched');
      const from = Math.max(since, this.#dropAt, this.#stage.calmAt);
      requireThat(now <= from + 2 * expiryOf(settings) + SLACK, 'what is lost is found', () => {
        return `${name} is known to one end since ${since}, and the links are calm since ${from}`;
      });
    }
  }

  /** What a broker or client waits for, and the other end knows nothing of. */
  *#oneSided(): Generator<[name: string, settings: HeartbeatSettings]> {
    const { sessions, clients } = this.#run.broker();
    for (const worker of this.#run.workers()) {
      const session = sessions.ofExpress(worker.session);
      if (session === undefined) continue;
      for (const { number, request } of session.running.values()) {
        if (request.state !== 'inFlight' || worker.holds(number)) continue;
        yield [`dispatch ${number} at ${session.address}`, session.settings];
      }
    }
    for (const link of this.#run.links()) {
      const client = clients.ofSession(link.session);
      if (client?.session === undefined) continue;
      for (const number of link.numbers()) {
        if (client.awaited.has(number)) continue;
        yield [`request ${number} of ${client.address}`, client.session.settings];
      }
    }
  }
}
