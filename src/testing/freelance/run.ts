/**
 * One run of a Freelance plan. The viable core that is healed in the end is one server and one client.
 *
 * Its last proof is the pattern's purpose: fresh requests are asked in the very moment in which every
 * other server dies, and each must be answered.
 */
import { inflict as inflictCommon } from '../faults.ts';
import { breakForEver, isUp, rollOver, type Role } from '../roles.ts';
import { requireNone, Scenario, type Verdict } from '../scenario.ts';
import type { RunResult } from '../suite.ts';
import type { Transcript } from '../transcript.ts';
import { requireThat } from '../violation.ts';
import { ClientRole } from './client-role.ts';
import {
  CHAOS_ENDS,
  LONGEST_TIMEOUT,
  type FreelanceFault,
  type FreelancePlan,
  type PlannedOperation,
} from './plan.ts';
import { RogueRole, ROGUE } from './rogue-role.ts';
import { ServerRole } from './server-role.ts';
import { FreelanceStage } from './stage.ts';
import { StockRole } from './stock-role.ts';

/** How long the core may take beyond timeouts and handlers: expiry, back-off, late timers. */
const SLACK = 1500;

/** How long the core may take to find together: expiry of what died, back-off of what reconnects. */
const RECOVERY = 600;

/** How long a server may work on what it has queued: its clients may be long gone. */
const BACKLOG = 10_000;

/** Milliseconds between two restarts of a rolling one. */
const ROLL = 150;

/** Milliseconds between two requests of the warm-up: enough of them tell what a late reply is. */
const WARM_UP_PACE = 12;

/** What a fresh request asks when everything should work again. */
const PROOF: PlannedOperation = {
  at: 0,
  client: 0,
  behaviour: 'reply',
  work: 5,
  size: 0,
  strategy: 'first',
  timeout: LONGEST_TIMEOUT,
  attemptTimeout: undefined,
  retries: 4,
  hedge: false,
  cancelAfter: undefined,
};

const WARM_UP: PlannedOperation = { ...PROOF, work: 0, strategy: 'fastest', hedge: true };

/** @throws nothing: a violation is part of the result */
export function runFreelancePlan(plan: FreelancePlan, transcript?: Transcript): RunResult {
  return new FreelanceRun(new FreelanceStage(plan, transcript)).run();
}

class FreelanceRun extends Scenario<FreelanceFault> {
  readonly #stage: FreelanceStage;
  readonly #servers: readonly ServerRole[];
  readonly #clients: readonly ClientRole[];
  readonly #rogue: RogueRole | undefined;
  readonly #stock: StockRole | undefined;

  constructor(stage: FreelanceStage) {
    super(stage);
    this.#stage = stage;
    const { servers, clients, rogue, stockPace, core } = stage.plan;
    const names = servers.map((_, index) => `server-${index}`);
    this.#servers = servers.flatMap(({ concurrency, isAbsent }, index) => {
      if (isAbsent && index !== core % servers.length) return [];
      return [new ServerRole(stage, names[index]!, concurrency)];
    });
    this.#rogue = rogue === undefined ? undefined : new RogueRole(stage, rogue);
    const all = names.toSpliced(rogue?.rank ?? 0, 0, ...(rogue === undefined ? [] : [ROGUE]));
    this.#clients = clients.map(({ first }, index) => {
      const ranked = [...all.slice(first % all.length), ...all.slice(0, first % all.length)];
      return new ClientRole(stage, `client-${index}`, ranked);
    });
    this.#stock = stockPace === undefined ? undefined : new StockRole(stage, all, stockPace);
  }

  protected get roles(): readonly Role[] {
    return [...this.#servers, ...this.#clients];
  }

  protected peersOf(role: Role): readonly Role[] {
    return this.#servers.some((server) => server === role) ? this.#clients : this.#servers;
  }

  protected inflict(fault: FreelanceFault, role: Role): boolean {
    const { kind } = fault;
    if (kind === 'bury') {
      if (!isUp(role) || this.#clients.some((client) => client === role)) return false;
      role.process.crash();
      return true;
    }
    if (kind === 'rollingRestart') {
      rollOver(this.#stage, [...this.#servers, role], ROLL, fault.duration + 500);
      return true;
    }
    return inflictCommon(this.#stage, { ...fault, kind }, role, this.peersOf(role));
  }

  protected chaos(): void {
    const { world, plan } = this.#stage;
    for (let count = 0; count < plan.warmUp; count++) {
      for (const client of this.#clients) {
        world.schedule(20 + count * WARM_UP_PACE, () => client.issue(WARM_UP));
      }
    }
    for (const operation of plan.operations) {
      const client = this.#clients[operation.client % this.#clients.length]!;
      world.schedule(operation.at, () => client.issue(operation));
    }
    this.scheduleFaults(plan.faults);
    world.run(CHAOS_ENDS);
  }

  protected liveness(): void {
    const { world, plan } = this.#stage;
    const client = this.#clients[plan.core % this.#clients.length]!;
    const server = this.#coreServer();
    this.#rogue?.process.crash();
    this.#stock?.process.crash();
    this.breakTheRest([server, client]);
    // Whoever mends the service ends the handlers that hang.
    for (const role of this.#servers) if (isUp(role) && role.isStuck) role.process.crash();
    this.heal(server);
    this.heal(client);
    world.run(world.now + RECOVERY);
    this.runUntil(() => this.#isQuiet(client), world.now + LONGEST_TIMEOUT + BACKLOG + SLACK);
    this.#checkSettled(client);
    this.#prove(server, client);
    this.#checkQuiet(server, client);
    this.checkDrains([server, client], SLACK);
  }

  protected verdict(): Verdict {
    const { tally } = this.#stage;
    return {
      completed: tally.get('client.reply') ?? 0,
      disturbed: (tally.get('client.retry') ?? 0) + (tally.get('client.serverLost') ?? 0) > 0,
    };
  }

  #coreServer(): ServerRole {
    const { servers, core } = this.#stage.plan;
    const name = `server-${core % servers.length}`;
    return this.#servers.find((server) => server.name === name)!;
  }

  /** Nothing is asked, and every server that can work has done its work. */
  #isQuiet(client: ClientRole): boolean {
    return (
      client.checker.unsettled === 0 &&
      this.#servers.every(({ process, isIdle }) => !process.isRunning || isIdle)
    );
  }

  /** Fresh requests, while every other server that is left breaks, mostly without a word. */
  #prove(server: ServerRole, client: ClientRole): void {
    const { world } = this.#stage;
    const before = client.checker.calls.length;
    for (const strategy of ['first', 'all'] as const) client.issue({ ...PROOF, strategy });
    for (const other of this.#servers) {
      if (other !== server && isUp(other)) breakForEver(this.#stage, other, this.#clients);
    }
    this.runUntil(() => this.#isQuiet(client), world.now + LONGEST_TIMEOUT + SLACK);
    this.#checkSettled(client);
    for (const { work, outcome } of client.checker.calls.slice(before)) {
      requireThat(outcome === 'reply', 'the core works again', () => {
        return `${work.id}, asked after healing, ended with ${outcome}`;
      });
    }
  }

  #checkSettled({ checker }: ClientRole): void {
    for (const { work, outcome } of checker.calls) {
      requireThat(outcome !== undefined, 'every call ends', () => `${work.id} has no outcome`);
    }
  }

  /** Nothing is left of what has ended. */
  #checkQuiet(server: ServerRole, client: ClientRole): void {
    requireNone(client.remembered, 'requests of the client');
    requireNone(server.remembered, 'requests at the server');
  }
}
