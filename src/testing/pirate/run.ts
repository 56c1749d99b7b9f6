/**
 * One run of a Pirate plan. The viable core that is healed in the end is one worker, its queue, and one
 * client.
 */
import { inflict as inflictCommon } from '../faults.ts';
import { drainAndRestart, isUp, kindOf, rollOver, type Role } from '../roles.ts';
import { requireNone, Scenario, type Verdict } from '../scenario.ts';
import type { RunResult } from '../suite.ts';
import type { Transcript } from '../transcript.ts';
import { requireThat } from '../violation.ts';
import { ClientRole } from './client-role.ts';
import {
  CHAOS_ENDS,
  LONGEST_TIMEOUT,
  type PirateFault,
  type PiratePlan,
  type PlannedOperation,
} from './plan.ts';
import { QueueRole } from './queue-role.ts';
import { RogueRole } from './rogue-role.ts';
import { PirateStage } from './stage.ts';
import { StockRole } from './stock-role.ts';
import { WorkerRole } from './worker-role.ts';

/** How long the core may take beyond timeouts: expiry of dead sessions, back-off, a handler at work. */
const SLACK = 1500;

/** How long the core may take to find together: expiry of what died, back-off of what reconnects. */
const RECOVERY = 1000;

/** Workers that may be gone and not be known to be. */
const GHOSTS = 4;

/** Milliseconds between two restarts of a rolling one. */
const ROLL = 150;

/** What a fresh request asks when everything should work again. */
const PROOF: PlannedOperation = {
  at: 0,
  client: 0,
  behaviour: 'reply',
  work: 5,
  size: 0,
  timeout: LONGEST_TIMEOUT,
  attemptTimeout: undefined,
  retries: 4,
  cancelAfter: undefined,
};

/** @throws nothing: a violation is part of the result */
export function runPiratePlan(plan: PiratePlan, transcript?: Transcript): RunResult {
  return new PirateRun(new PirateStage(plan, transcript)).run();
}

class PirateRun extends Scenario<PirateFault> {
  readonly #stage: PirateStage;
  readonly #queues: readonly QueueRole[];
  readonly #workers: readonly WorkerRole[];
  readonly #clients: readonly ClientRole[];
  readonly #rogue: RogueRole | undefined;

  constructor(stage: PirateStage) {
    super(stage);
    this.#stage = stage;
    const { plan } = stage;
    const names = Array.from({ length: plan.queues }, (_, index) => `queue-${index}`);
    const from = (first: number): string[] => {
      const start = first % names.length;
      return [...names.slice(start), ...names.slice(0, start)];
    };
    this.#queues = names.map((name) => new QueueRole(stage, name));
    this.#workers = plan.workers.map(({ home, roams }, index) => {
      return new WorkerRole(stage, `worker-${index}`, from(home).slice(0, roams ? 2 : 1));
    });
    this.#clients = plan.clients.map(({ first }, index) => {
      return new ClientRole(stage, `client-${index}`, from(first));
    });
    const { rogue, stockPace } = plan;
    this.#rogue =
      rogue === undefined ? undefined : new RogueRole(stage, rogue, from(rogue.queue)[0]!);
    if (stockPace !== undefined) new StockRole(stage, names[0]!, stockPace).start();
  }

  protected get roles(): readonly Role[] {
    return [...this.#queues, ...this.#workers, ...this.#clients];
  }

  protected peersOf(role: Role): readonly Role[] {
    return kindOf(role) === 'queue' ? [...this.#workers, ...this.#clients] : this.#queues;
  }

  protected inflict(fault: PirateFault, role: Role): boolean {
    const { kind, duration } = fault;
    if (!isUp(role)) return false;
    const others = this.#workers.filter((worker) => worker !== role);
    if (kind === 'rollingRestart') {
      rollOver(this.#stage, [...others, role], ROLL, duration + 500);
      return true;
    }
    if (kind === 'drainAll') {
      const workers = this.#workers.filter(isUp);
      for (const worker of workers) drainAndRestart(this.#stage, worker, duration + 700, 100);
      return workers.length > 0;
    }
    return inflictCommon(this.#stage, { ...fault, kind }, role, this.peersOf(role));
  }

  protected chaos(): void {
    const { world, plan } = this.#stage;
    for (const operation of plan.operations) {
      const client = this.#clients[operation.client % this.#clients.length]!;
      world.schedule(operation.at, () => client.issue(operation));
    }
    this.scheduleFaults(plan.faults);
    world.run(CHAOS_ENDS);
  }

  protected liveness(): void {
    const { world, plan } = this.#stage;
    const worker = this.#workers[plan.core % this.#workers.length]!;
    const queue = this.#queues.find(({ name }) => name === worker.queues[0])!;
    const client = this.#clients[plan.core % this.#clients.length]!;
    this.#rogue?.process.crash();
    this.#breakOthers([queue, worker, client]);
    // What nobody told of nobody knows: where there are no heartbeats, people look after it.
    if (plan.protocol === 'simple') for (const role of [queue, worker]) crash(role);
    if (isUp(worker) && (worker.isStuck || this.#mayBeLost())) worker.process.crash();
    for (const role of [worker, queue, client]) this.heal(role);
    world.run(world.now + RECOVERY);
    // What was asked before ends first: calls by their timeout, what they left in the queue by its ttl.
    const { requestTtl } = plan.settings;
    const isQuiet = (): boolean => {
      if (client.checker.unsettled + this.#leftIn(queue) > 0) return false;
      // The worker may be at work for nobody, and its queue waits until it lets go.
      return worker.state === 'idle' && queue.machine.workers.state.idle.size > 0;
    };
    this.runUntil(isQuiet, world.now + LONGEST_TIMEOUT + requestTtl + SLACK);
    this.#checkSettled(client);
    this.#prove(client, isQuiet);
    requireNone(client.remembered, 'calls');
    requireNone(this.#leftIn(queue), 'requests');
    requireNone(queue.machine.requests.clients.size, 'clients');
    this.checkDrains([client, worker, queue], SLACK);
  }

  protected verdict(): Verdict {
    const { tally } = this.#stage;
    return {
      completed: tally.get('client.reply') ?? 0,
      disturbed: (tally.get('queue.requestRequeued') ?? 0) + (tally.get('client.retry') ?? 0) > 0,
    };
  }

  /**
   * Queues that are not of the core are gone for good, or they would take requests that none of their workers
   * is left to do. Without heartbeats, workers that are only silent would be given requests for ever.
   */
  #breakOthers(core: readonly Role[]): void {
    for (const queue of this.#queues) if (!core.includes(queue)) queue.bury();
    if (this.#stage.plan.protocol === 'simple') {
      for (const worker of this.#workers) if (!core.includes(worker)) crash(worker);
    }
    this.breakTheRest(core);
  }

  /**
   * Fresh requests are answered. A late reply of a worker that is gone makes it one in Simple Pirate, and
   * without notices each such ghost costs somebody a request before it is known.
   */
  #prove(client: ClientRole, isQuiet: () => boolean): void {
    const { world, plan } = this.#stage;
    const isBlind = plan.protocol === 'simple' && !plan.settings.notices;
    for (let round = isBlind ? GHOSTS : 0; round >= 0; round--) {
      const before = client.checker.calls.length;
      for (let count = 0; count < 2; count++) client.issue(PROOF);
      this.runUntil(isQuiet, world.now + LONGEST_TIMEOUT + SLACK);
      this.#checkSettled(client);
      const failed = client.checker.calls.slice(before).find(({ outcome }) => outcome !== 'reply');
      if (failed === undefined) return;
      requireThat(round > 0, 'the core works again', () => {
        return `${failed.work.id}, asked after healing, ended with ${failed.outcome}`;
      });
    }
  }

  /** A dispatch or READY that vanished on a link that goes on is something that no side can find out. */
  #mayBeLost(): boolean {
    return this.#stage.plan.faults.some(({ kind }) => kind === 'drop');
  }

  #leftIn({ machine }: QueueRole): number {
    const { queued, inFlight } = machine.requests.state;
    return queued + inFlight;
  }

  #checkSettled({ checker }: ClientRole): void {
    for (const { work, outcome } of checker.calls) {
      requireThat(outcome !== undefined, 'every call ends', () => `${work.id} has no outcome`);
    }
  }
}

function crash(role: Role): void {
  if (isUp(role)) role.process.crash();
}
