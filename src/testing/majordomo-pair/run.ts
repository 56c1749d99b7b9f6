/**
 * One run of a plan of a pair. The viable core that is healed in the end is what should suffice: both
 * brokers with or without the witness, or one broker with it, or one alone where clients vote; a worker for
 * each service, and one client.
 */
import { PROOF } from '../majordomo/run.ts';
import { LARGE, LONGEST_TIMEOUT, SERVICES } from '../majordomo/plan.ts';
import { cutOff, isUp, pause, type Role } from '../roles.ts';
import { requireNone, Scenario, type Verdict } from '../scenario.ts';
import type { RunResult } from '../suite.ts';
import type { Transcript } from '../transcript.ts';
import { requireThat } from '../violation.ts';
import { PairClientRole } from './client-role.ts';
import { inflict } from './faults.ts';
import { CHAOS_ENDS, LONG_PAUSE, SERVERS, WITNESS, type PairFault, type PairPlan } from './plan.ts';
import { ServerRole } from './server-role.ts';
import { PairStage } from './stage.ts';
import { WitnessRole } from './witness-role.ts';
import { PairWorkerRole } from './worker-role.ts';

/**
 * How long the core may take, after healing and for each request after that, beyond the timeouts:
 * expiry of dead sessions and of leases, a takeover, back-off of workers and clients, a handler at work.
 */
const SLACK = 4000;

/** How long the core may take until one of its brokers serves. */
const RECOVERY = 6000;

/** How long one must have served for those who knew better to have said so. */
const SETTLING = 500;

/** How long a person waits for a broker that is left alone to serve by itself. */
const PATIENCE = 1500;

/** Asked under in the end alone. */
const PROOF_KEY = 6;

/** @throws nothing: a violation is part of the result */
export function runPairPlan(plan: PairPlan, transcript?: Transcript): RunResult {
  return new PairRun(new PairStage(plan, transcript)).run();
}

class PairRun extends Scenario<PairFault> {
  readonly #stage: PairStage;
  readonly #servers: readonly ServerRole[];
  readonly #witness: WitnessRole | undefined;
  readonly #workers: readonly PairWorkerRole[];
  readonly #clients: readonly PairClientRole[];
  /** When the only broker of the core was last seen to serve, or was told to. */
  #servedAt = 0;

  constructor(stage: PairStage) {
    super(stage);
    const { workers, clients, pair } = stage.plan;
    this.#stage = stage;
    this.#witness = pair.witness ? new WitnessRole(stage) : undefined;
    this.#servers = SERVERS.map((name) => new ServerRole(stage, name));
    this.#workers = workers.map(
      (worker, index) => new PairWorkerRole(stage, `worker-${index}`, worker),
    );
    this.#clients = clients.map(
      (client, index) => new PairClientRole(stage, `client-${index}`, client),
    );
    stage.reigns.thrones = () => this.#servers;
  }

  protected get roles(): readonly Role[] {
    return [...this.#deciders, ...this.#workers, ...this.#clients];
  }

  /** Who has a word in who serves. */
  get #deciders(): readonly (ServerRole | WitnessRole)[] {
    return this.#witness === undefined ? this.#servers : [...this.#servers, this.#witness];
  }

  protected peersOf(role: Role): readonly Role[] {
    if (role === this.#witness) return this.#servers;
    if (!this.#servers.some((server) => server === role)) return this.#servers;
    const others = this.#deciders.filter((other) => other !== role);
    return [...others, ...this.#workers, ...this.#clients];
  }

  protected inflict(fault: PairFault, role: Role): boolean {
    return inflict(this.#stage, fault, role, {
      peers: this.peersOf(role),
      servers: this.#servers,
      workers: this.#workers,
      clients: this.#clients,
    });
  }

  protected chaos(): void {
    const { world, plan } = this.#stage;
    for (const operation of plan.operations) {
      const client = this.#clients[operation.client % this.#clients.length]!;
      // Somebody offers what is asked for: that nobody does is told elsewhere.
      const { service } = plan.workers[operation.service % plan.workers.length]!;
      world.schedule(operation.at, () => client.issue({ ...operation, service }));
    }
    // Who is not there is not hit: its faults befall a broker.
    this.scheduleFaults(
      plan.faults.map((fault) =>
        fault.target === WITNESS && !plan.pair.witness ? { ...fault, target: SERVERS[0] } : fault,
      ),
    );
    // A long pause is one that is over before all is healed.
    const ends = plan.faults.map(({ kind, at }) => (kind === 'longPause' ? at + LONG_PAUSE : 0));
    world.run(Math.max(CHAOS_ENDS, ...ends));
  }

  protected liveness(): void {
    const { world, plan } = this.#stage;
    const client = this.#clients[plan.core % this.#clients.length]!;
    const workers = SERVICES.map((_, service) => this.#coreWorker(service)).filter(
      (worker) => worker !== undefined,
    );
    this.#servedAt = world.now;
    const servers = this.#heal([client, ...workers], workers);
    const { requestTtl, attemptTimeout } = plan.settings;
    const limit = world.now + LONGEST_TIMEOUT + requestTtl + attemptTimeout + SLACK;
    this.#awaitActive(servers);
    this.runUntil(() => this.#isQuiet(client, servers), limit);
    this.#checkSettled(client);
    for (const key of [undefined, PROOF_KEY]) this.#prove(client, workers, servers, key);
    this.#checkQuiet(client, servers);
  }

  protected verdict(): Verdict {
    const { tally, reigns } = this.#stage;
    return {
      completed: tally.get('client.reply') ?? 0,
      disturbed: reigns.count > 1 || (tally.get('broker.requestRequeued') ?? 0) > 0,
    };
  }

  /** One of the workers that offer a service, if any does. */
  #coreWorker(service: number): PairWorkerRole | undefined {
    const able = this.#workers.filter((worker) => worker.service === service);
    return able[this.#stage.plan.core % Math.max(1, able.length)];
  }

  /** Returns the brokers of the core. */
  #heal(core: readonly Role[], workers: readonly PairWorkerRole[]): readonly ServerRole[] {
    const stage = this.#stage;
    const { core: chosen } = stage.plan.pair;
    const servers = this.#servers.filter(
      ({ name }) => chosen === name || !chosen.startsWith('broker-'),
    );
    const needsWitness = chosen !== 'brokers' && this.#witness !== undefined;
    const deciders: readonly Role[] = needsWitness ? [...servers, this.#witness] : servers;
    this.breakTheRest([...core, ...this.#deciders]);
    for (const role of this.#deciders) {
      stage.storeOf(role.name).heal();
      if (!deciders.includes(role)) this.#breakDecider(role);
    }
    for (const worker of workers) {
      if (isUp(worker) && worker.isStuck) worker.process.crash();
    }
    for (const role of [...deciders, ...core]) this.heal(role);
    return servers;
  }

  /** For ever: it dies, stands still, or is cut off from all others. */
  #breakDecider(role: ServerRole | WitnessRole): void {
    const fate = this.#stage.world.random();
    if (fate < 0.4 || !isUp(role)) role.bury();
    else if (fate < 0.7) pause(role);
    else for (const peer of this.peersOf(role)) cutOff(this.#stage, role, peer, {});
  }

  /** If nobody may serve without a loss, a person decides. */
  #awaitActive(servers: readonly ServerRole[]): void {
    const { world } = this.#stage;
    const serving = (): number => servers.filter(({ epoch }) => epoch > 0).length;
    const settledAt = world.now + SETTLING;
    this.runUntil(() => {
      this.#promote(servers);
      return serving() === 1 && world.now >= settledAt;
    }, world.now + RECOVERY);
    requireThat(serving() === 1, 'one serves', () => {
      return `${serving()} of ${servers.length} brokers serve, though all is healed`;
    });
  }

  /** One that is left alone may not serve, for what the other has done; unless a person says so. */
  #promote(servers: readonly ServerRole[]): void {
    const { world } = this.#stage;
    const [only, other] = servers;
    if (only!.epoch > 0) this.#servedAt = world.now;
    if (other !== undefined || world.now < this.#servedAt + PATIENCE) return;
    this.#servedAt = world.now;
    only!.promote();
  }

  /** What is asked now is done. */
  #prove(
    client: PairClientRole,
    workers: readonly PairWorkerRole[],
    servers: readonly ServerRole[],
    key: number | undefined,
  ): void {
    const { world } = this.#stage;
    const before = client.checker.calls.size;
    for (const { service } of workers) client.issue({ ...PROOF, client: 0, service, key });
    const limit = world.now + LONGEST_TIMEOUT + SLACK;
    this.runUntil(() => {
      this.#promote(servers);
      return this.#isQuiet(client, servers);
    }, limit);
    this.#checkSettled(client);
    this.runUntil(() => servers.some(({ epoch }) => epoch > 0), limit);
    const serving = servers.filter(({ epoch }) => epoch > 0).length;
    requireThat(serving === 1, 'one serves', () => `${serving} brokers serve in the end`);
    for (const { work, outcome } of [...client.checker.calls.values()].slice(before)) {
      requireThat(outcome === 'reply', 'the core works again', () => {
        return `${work.id}, asked after healing, ended with ${outcome}`;
      });
    }
  }

  #isQuiet(client: PairClientRole, servers: readonly ServerRole[]): boolean {
    for (const { broker } of servers) {
      const { queued, inFlight } = broker.requests.state;
      if (queued + inFlight > 0) return false;
      for (const { running } of broker.sessions.all()) if (running.size > 0) return false;
    }
    // One that was given up may still be on a link that was slow, and then takes a worker's time.
    if (this.#stage.network.largestInTransit() >= LARGE) return false;
    return client.checker.unsettled === 0;
  }

  #checkSettled(client: PairClientRole): void {
    for (const { work, outcome } of client.checker.calls.values()) {
      requireThat(outcome !== undefined, 'every request ends once', () => {
        return `${work.id} has no outcome`;
      });
    }
  }

  /** Nothing is left of what has ended. */
  #checkQuiet(client: PairClientRole, servers: readonly ServerRole[]): void {
    requireNone(client.machine.outstanding, 'calls');
    for (const { broker } of servers) {
      const { requests, clients, keys } = broker;
      const { queued, inFlight, queues } = requests.state;
      if (queued + inFlight > 0) continue;
      const { stock, sessions } = clients.state;
      requireNone(stock.size, 'stock clients');
      requireNone(queues.size, 'queues');
      requireNone(keys.state.open.size, 'open keys');
      requireNone(
        [...sessions.values()].filter(({ awaited }) => awaited.size > 0).length,
        'waiting clients',
      );
    }
  }
}
