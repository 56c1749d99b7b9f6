/**
 * One run of a Majordomo plan. The viable core that is healed in the end is the broker, one worker for
 * each service, and one client.
 */
import { isUp, type Role } from '../roles.ts';
import { requireNone, Scenario, type Verdict } from '../scenario.ts';
import type { RunResult } from '../suite.ts';
import type { Transcript } from '../transcript.ts';
import { requireThat } from '../violation.ts';
import { BrokerRole } from './broker-role.ts';
import { ClientRole } from './client-role.ts';
import { inflict } from './faults.ts';
import { LossWatch } from './loss-watch.ts';
import {
  CHAOS_ENDS,
  LARGE,
  LONGEST_TIMEOUT,
  SERVICES,
  type MajordomoFault,
  type MajordomoPlan,
  type PlannedOperation,
} from './plan.ts';
import { RogueRole } from './rogue-role.ts';
import { MajordomoStage } from './stage.ts';
import { WorkerRole } from './worker-role.ts';

/**
 * How long the core may take, after healing and for each request after that, beyond the timeouts:
 * expiry of dead sessions, back-off of workers and clients, a handler at work.
 */
const SLACK = 2000;

/** How long the core may take to find together: expiry of what died, back-off of what reconnects. */
const RECOVERY = 1300;

/** What a fresh request asks when everything should work again. */
export const PROOF: Omit<PlannedOperation, 'service' | 'client'> = {
  at: 0,
  streaming: false,
  behaviour: 'reply',
  work: 5,
  size: 0,
  timeout: LONGEST_TIMEOUT,
  retries: 4,
  cancelAfter: undefined,
  key: undefined,
  priority: 0,
  failFast: false,
  broadcast: false,
  readPace: 0,
};

/** @throws nothing: a violation is part of the result */
export function runMajordomoPlan(plan: MajordomoPlan, transcript?: Transcript): RunResult {
  return new MajordomoRun(new MajordomoStage(plan, transcript)).run();
}

class MajordomoRun extends Scenario<MajordomoFault> {
  readonly #stage: MajordomoStage<MajordomoPlan>;
  readonly #broker: BrokerRole;
  readonly #workers: readonly WorkerRole[];
  readonly #clients: readonly ClientRole[];
  readonly #rogue: RogueRole | undefined;

  constructor(stage: MajordomoStage<MajordomoPlan>) {
    super(stage);
    const { workers, clients, rogue } = stage.plan;
    this.#stage = stage;
    this.#broker = new BrokerRole(stage);
    this.#workers = workers.map(
      (worker, index) => new WorkerRole(stage, `worker-${index}`, worker),
    );
    this.#clients = clients.map(
      (client, index) => new ClientRole(stage, `client-${index}`, client),
    );
    this.#rogue = rogue === undefined ? undefined : new RogueRole(stage, rogue);
  }

  protected get roles(): readonly Role[] {
    return [this.#broker, ...this.#workers, ...this.#clients];
  }

  protected peersOf(role: Role): readonly Role[] {
    return role === this.#broker ? [...this.#workers, ...this.#clients] : [this.#broker];
  }

  protected inflict(fault: MajordomoFault, role: Role): boolean {
    return inflict(this.#stage, fault, role, this.peersOf(role), this.#workers);
  }

  protected chaos(): void {
    const { world, plan } = this.#stage;
    for (const operation of plan.operations) {
      const client = this.#clients[operation.client % this.#clients.length]!;
      world.schedule(operation.at, () => client.issue(operation));
    }
    new LossWatch(this.#stage, {
      broker: () => this.#broker.machine,
      workers: () =>
        this.#workers.filter((role) => this.isJudged(role)).map(({ checker }) => checker),
      links: () =>
        this.#clients.filter((role) => this.isJudged(role)).map(({ checker }) => checker.link),
    }).start();
    this.scheduleFaults(plan.faults);
    world.run(CHAOS_ENDS);
  }

  protected liveness(): void {
    const { world, plan } = this.#stage;
    const client = this.#clients[plan.core % this.#clients.length]!;
    const workers = SERVICES.map((_, service) => this.#coreWorker(service)).filter(
      (worker) => worker !== undefined,
    );
    this.#rogue?.process.crash();
    this.breakTheRest([this.#broker, client, ...workers]);
    this.#stage.calmAt = Math.max(this.#stage.calmAt, world.now + RECOVERY / 2);
    for (const worker of workers) {
      if (isUp(worker) && worker.isStuck) worker.process.crash();
      this.heal(worker);
    }
    this.heal(this.#broker, []);
    this.heal(client);
    // What was asked before ends first: calls by their timeout, what they left in the broker by its ttl.
    const { requestTtl, attemptTimeout } = plan.settings;
    const limit = world.now + LONGEST_TIMEOUT + requestTtl + attemptTimeout + SLACK;
    world.run(world.now + RECOVERY);
    this.runUntil(() => this.#isQuiet(client), limit);
    this.#checkSettled(client);
    const before = client.checker.calls.size;
    for (const { service } of workers) client.issue({ ...PROOF, client: 0, service });
    this.runUntil(() => this.#isQuiet(client), world.now + LONGEST_TIMEOUT + SLACK);
    this.#checkSettled(client);
    for (const { work, outcome } of [...client.checker.calls.values()].slice(before)) {
      requireThat(outcome === 'reply', 'the core works again', () => {
        return `${work.id}, asked after healing, ended with ${outcome}`;
      });
    }
    this.#checkQuiet(client);
  }

  protected verdict(): Verdict {
    const { tally } = this.#stage;
    return {
      completed: tally.get('client.reply') ?? 0,
      disturbed: (tally.get('broker.requestRequeued') ?? 0) + (tally.get('client.retry') ?? 0) > 0,
    };
  }

  /** One of the workers that offer a service, if any does. */
  #coreWorker(service: number): WorkerRole | undefined {
    const able = this.#workers.filter((worker) => worker.service === service);
    return able[this.#stage.plan.core % Math.max(1, able.length)];
  }

  #isQuiet(client: ClientRole): boolean {
    const { requests, sessions } = this.#broker.machine;
    const { queued, inFlight } = requests.state;
    // A worker may be idle and its broker not know it, until the attempt times out.
    for (const { running } of sessions.all()) if (running.size > 0) return false;
    // One that was given up may still be on a link that was slow, and then takes a worker's time.
    if (this.#stage.network.largestInTransit() >= LARGE) return false;
    return client.checker.unsettled + queued + inFlight === 0;
  }

  #checkSettled(client: ClientRole): void {
    for (const { work, outcome } of client.checker.calls.values()) {
      requireThat(outcome !== undefined, 'every call ends', () => `${work.id} has no outcome`);
    }
  }

  /** Nothing is left of what has ended. */
  #checkQuiet(client: ClientRole): void {
    const { requests, clients, keys } = this.#broker.machine;
    const { queued, inFlight, queues } = requests.state;
    const { stock, sessions } = clients.state;
    requireNone(client.machine.outstanding, 'calls');
    if (queued + inFlight > 0) return;
    requireNone(stock.size, 'stock clients');
    requireNone(queues.size, 'queues');
    requireNone(keys.state.open.size, 'open keys');
    requireNone(
      [...sessions.values()].filter(({ awaited }) => awaited.size > 0).length,
      'waiting clients',
    );
  }
}
