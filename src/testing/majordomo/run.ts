/**
 * One run of a Majordomo plan.
 *
 * First chaos: operations and faults as planned, every invariant after every step. Then liveness: a
 * viable core (the broker, one worker for each service, one client) is healed, the rest stays broken
 * for ever, and everything the core was asked, before and now, must end within a stated bound.
 */
import { countLost } from '../effects.ts';
import type { RunResult } from '../suite.ts';
import type { Transcript } from '../transcript.ts';
import { requireThat, Violation } from '../violation.ts';
import { BrokerRole } from './broker-role.ts';
import { ClientRole } from './client-role.ts';
import { cutOff, heal, inflict, isUp, pause, type Role } from './faults.ts';
import { LossWatch } from './loss-watch.ts';
import {
  CHAOS_ENDS,
  LONGEST_TIMEOUT,
  SERVICES,
  type MajordomoPlan,
  type PlannedFault,
  type PlannedOperation,
  type Target,
} from './plan.ts';
import { RogueRole } from './rogue-role.ts';
import { Stage } from './stage.ts';
import { WorkerRole } from './worker-role.ts';

/**
 * How long the core may take, after healing and for each request after that, beyond the timeouts:
 * expiry of dead sessions, back-off of workers and clients, a handler at work.
 */
const SLACK = 2000;

/** How long the core may take to find together: expiry of what died, back-off of what reconnects. */
const RECOVERY = 1300;

/** How often it is looked whether all is over. */
const SLICE = 100;

/** What a fresh request asks when everything should work again. */
const PROOF: Omit<PlannedOperation, 'service' | 'client'> = {
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
  const run = new MajordomoRun(plan, transcript);
  let violation: Violation | undefined;
  try {
    run.chaos();
    run.liveness();
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    violation = error;
  }
  return run.result(violation);
}

class MajordomoRun {
  readonly #stage: Stage;
  readonly #broker: BrokerRole;
  readonly #workers: readonly WorkerRole[];
  readonly #clients: readonly ClientRole[];
  readonly #roles: ReadonlyMap<string, Role>;
  readonly #rogue: RogueRole | undefined;
  /** Who is healed; undefined before that. */
  #core: ReadonlySet<string> | undefined;
  #faults = 0;

  constructor(plan: MajordomoPlan, transcript: Transcript | undefined) {
    const stage = new Stage(plan, transcript);
    this.#stage = stage;
    this.#broker = new BrokerRole(stage);
    this.#workers = plan.workers.map(
      (worker, index) => new WorkerRole(stage, `worker-${index}`, worker),
    );
    this.#clients = plan.clients.map(
      (client, index) => new ClientRole(stage, `client-${index}`, client),
    );
    const { rogue } = plan;
    this.#rogue = rogue === undefined ? undefined : new RogueRole(stage, rogue);
    const roles: Role[] = [this.#broker, ...this.#workers, ...this.#clients];
    this.#roles = new Map(roles.map((role) => [role.name, role]));
  }

  chaos(): void {
    const { world, plan } = this.#stage;
    for (const operation of plan.operations) {
      const client = this.#clients[operation.client % this.#clients.length]!;
      world.schedule(operation.at, () => client.issue(operation));
    }
    new LossWatch(this.#stage, {
      broker: () => this.#broker.machine,
      workers: () => this.#judged(this.#workers).map(({ checker }) => checker),
      links: () => this.#judged(this.#clients).map(({ checker }) => checker.link),
    }).start();
    for (const fault of plan.faults) world.schedule(fault.at, () => this.#inflict(fault));
    world.run(CHAOS_ENDS);
  }

  liveness(): void {
    const { world, plan } = this.#stage;
    const client = this.#clients[plan.core % this.#clients.length]!;
    const workers = SERVICES.map((_, service) => this.#coreWorker(service)).filter(
      (worker) => worker !== undefined,
    );
    this.#stage.isHealed = true;
    this.#rogue?.process.crash();
    this.#core = new Set([this.#broker.name, client.name, ...workers.map(({ name }) => name)]);
    this.#breakTheRest(this.#core);
    this.#stage.calmAt = Math.max(this.#stage.calmAt, world.now + RECOVERY / 2);
    for (const worker of workers) {
      if (isUp(worker) && worker.isStuck) worker.process.crash();
      heal(this.#stage, worker);
    }
    heal(this.#stage, this.#broker);
    heal(this.#stage, client);
    // What was asked before ends first: calls by their timeout, what they left in the broker by its ttl.
    const { requestTtl, attemptTimeout } = plan.settings;
    const limit = world.now + LONGEST_TIMEOUT + requestTtl + attemptTimeout + SLACK;
    world.run(world.now + RECOVERY);
    this.#runUntilQuiet(client, limit);
    this.#checkSettled(client);
    const before = client.checker.calls.size;
    for (const { service } of workers) client.issue({ ...PROOF, client: 0, service });
    this.#runUntilQuiet(client, world.now + LONGEST_TIMEOUT + SLACK);
    this.#checkSettled(client);
    for (const { work, outcome } of [...client.checker.calls.values()].slice(before)) {
      requireThat(outcome === 'reply', 'the core works again', () => {
        return `${work.id}, asked after healing, ended with ${outcome}`;
      });
    }
    this.#checkQuiet(client);
  }

  result(violation: Violation | undefined): RunResult {
    const { world, tally, network } = this.#stage;
    const { effects, trace } = world;
    if (
      violation === undefined &&
      effects.sent !== effects.delivered + countLost(effects) + network.inTransit()
    ) {
      throw new Error('the simulated network lost count of its messages');
    }
    return {
      violation,
      trace: trace.digest,
      effects: { ...effects },
      tally: Object.fromEntries(tally),
      faults: this.#faults,
      completed: tally.get('client.reply') ?? 0,
      disturbed: (tally.get('broker.requestRequeued') ?? 0) + (tally.get('client.retry') ?? 0) > 0,
      virtualTime: world.now,
    };
  }

  #inflict(fault: PlannedFault): void {
    const role = this.#roleOf(fault.target);
    const others = [...this.#workers, ...this.#clients];
    const { state } = role;
    const cell = `${fault.kind} × ${role.name.split('-')[0]!} ${state}`;
    if (!inflict(this.#stage, fault, role, others)) return;
    this.#faults++;
    this.#stage.count(cell);
  }

  /** Those who are up, and not left broken for ever. */
  #judged<Kind extends Role>(roles: readonly Kind[]): Kind[] {
    return roles.filter((role) => isUp(role) && this.#core?.has(role.name) !== false);
  }

  /** Whom a fault hits: numbers beyond those who are there begin anew. */
  #roleOf(target: Target): Role {
    const [kind, number] = target.split('-');
    if (kind === 'broker') return this.#broker;
    const roles = kind === 'worker' ? this.#workers : this.#clients;
    return roles[Number(number) % roles.length]!;
  }

  /** One of the workers that offer a service, if any does. */
  #coreWorker(service: number): WorkerRole | undefined {
    const able = this.#workers.filter((worker) => worker.service === service);
    return able[this.#stage.plan.core % Math.max(1, able.length)];
  }

  /** Who is not of the core stays as it is, if it is broken, or breaks now: for ever. */
  #breakTheRest(core: ReadonlySet<string>): void {
    const { network, world } = this.#stage;
    network.healAll();
    for (const role of this.#roles.values()) {
      if (core.has(role.name) || !isUp(role)) continue;
      const fate = world.random();
      if (fate < 0.3) role.process.crash();
      else if (fate < 0.6) pause(role);
      else if (fate < 0.8) cutOff(network, role.name, 'broker', { oneWay: fate < 0.7 });
    }
  }

  #runUntilQuiet(client: ClientRole, limit: number): void {
    const { world } = this.#stage;
    const isQuiet = (): boolean => {
      const { requests, sessions } = this.#broker.machine;
      const { queued, inFlight } = requests.state;
      // A worker may be idle and its broker not know it, until the attempt times out.
      for (const { running } of sessions.all()) if (running.size > 0) return false;
      return client.checker.unsettled + queued + inFlight === 0;
    };
    do world.run(world.now + SLICE);
    while (!isQuiet() && world.now < limit);
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

function requireNone(left: number, what: string): void {
  requireThat(left === 0, 'quiescence', () => `${left} ${what} are remembered`);
}
