/**
 * One run of a failover plan. What must suffice is healed in the end: with a witness any two of the three,
 * without one any server that a client can ask. From then on one serves, and nothing changes any more.
 */
import type { Instant } from '../../core/machine.ts';
import { inflict as inflictCommon, type CommonFault } from '../faults.ts';
import { cutOff, isUp, pause, restart, type Role } from '../roles.ts';
import { Scenario, type Verdict } from '../scenario.ts';
import type { RunResult } from '../suite.ts';
import type { Transcript } from '../transcript.ts';
import { requireThat } from '../violation.ts';
import { ClientRole } from './client-role.ts';
import { CHAOS_ENDS, type FailoverFault, type FailoverPlan, type PlannedOrder } from './plan.ts';
import { RogueRole } from './rogue-role.ts';
import { ServerRole } from './server-role.ts';
import { FailoverStage, SERVERS, WITNESS } from './stage.ts';
import { WitnessRole } from './witness-role.ts';

/** How long a healed core may take: quarantines, silences, stores, a lease of one that hangs. */
const RECOVERY = 4000;

/** For so long nothing may change, then it is taken to be over. */
const REST = 700;

const SLACK = 1500;

/** Milliseconds of trouble that a fault leaves behind: links are made anew. */
const AFTERMATH = 100;

/** @throws nothing: a violation is part of the result */
export function runFailoverPlan(plan: FailoverPlan, transcript?: Transcript): RunResult {
  return new FailoverRun(new FailoverStage(plan, transcript)).run();
}

class FailoverRun extends Scenario<FailoverFault> {
  readonly #stage: FailoverStage;
  readonly #servers: ServerRole[] = [];
  readonly #witness: WitnessRole | undefined;
  readonly #clients: readonly ClientRole[];
  readonly #rogue: RogueRole | undefined;

  constructor(stage: FailoverStage) {
    super(stage);
    this.#stage = stage;
    const { plan } = stage;
    stage.thrones = () => this.#servers.map(({ throne }) => throne);
    if (stage.hasWitness) this.#witness = new WitnessRole(stage);
    const first = Math.min(...plan.starts);
    SERVERS.forEach((name, index) => this.#enter(name, (plan.starts[index] ?? 0) - first));
    this.#clients = plan.paces.map((pace, index) => new ClientRole(stage, `client-${index}`, pace));
    this.#rogue = plan.rogue === undefined ? undefined : new RogueRole(stage, plan.rogue);
  }

  /** A server comes when it comes: once all is there, or later. */
  #enter(name: string, at: Instant): void {
    this.#stage.world.schedule(at, () => {
      if (this.#serverOf(name) !== undefined) return;
      this.#stage.trouble(AFTERMATH);
      this.#servers.push(new ServerRole(this.#stage, name));
    });
  }

  #serverOf(name: string): ServerRole | undefined {
    return this.#servers.find((server) => server.name === name);
  }

  protected get roles(): readonly Role[] {
    return [...this.#servers, ...(this.#witness ? [this.#witness] : []), ...this.#clients];
  }

  protected peersOf(role: Role): readonly Role[] {
    if (role === this.#witness) return this.#servers;
    if (this.#clients.some((client) => client === role)) return this.#servers;
    const others = this.#servers.filter((server) => server !== role);
    const witness = this.#witness ? [this.#witness] : [];
    return [...others, ...witness, ...this.#clients];
  }

  // Chaos

  protected inflict(fault: FailoverFault, role: Role): boolean {
    const { kind, duration, count } = fault;
    const { world } = this.#stage;
    const { heartbeatInterval } = this.#stage.plan.settings;
    if (!isUp(role) || this.peersOf(role).length === 0) return false;
    if (kind !== 'clockRate') {
      const lasts = duration + 1000 * Number(kind === 'narrowLink');
      this.#stage.trouble(lasts + (count + 3) * heartbeatInterval + AFTERMATH);
    }
    switch (kind) {
      case 'bothRestart':
        this.#servers.forEach((server, index) => {
          if (!isUp(server)) return;
          server.process.crash();
          world.after(index === 0 ? duration : 40 * count, () => restart(server));
        });
        return true;
      case 'storeFails':
      case 'stall':
        return this.#breakStore(kind, role, fault);
      default: {
        const common = { ...fault, kind: kind satisfies CommonFault };
        return inflictCommon(this.#stage, common, role, this.peersOf(role));
      }
    }
  }

  #breakStore(kind: 'storeFails' | 'stall', role: Role, fault: FailoverFault): boolean {
    if (this.#clients.some((client) => client === role)) return false;
    const store = this.#stage.storeOf(role.name);
    if (kind === 'storeFails') store.failNext(fault.count);
    else {
      store.stall();
      this.#stage.world.after(fault.duration, () => store.heal());
    }
    return true;
  }

  protected chaos(): void {
    const { world, plan } = this.#stage;
    for (const { at, server, order } of plan.orders) {
      world.schedule(at, () => this.#order(server, order));
    }
    const isThere = ({ target }: FailoverFault): boolean =>
      this.#stage.hasWitness || target !== WITNESS;
    this.scheduleFaults(
      plan.faults.map((fault) => (isThere(fault) ? fault : { ...fault, target: 'server-0' })),
    );
    world.run(CHAOS_ENDS);
  }

  #order(server: number, order: PlannedOrder['order']): void {
    const role = this.#serverOf(SERVERS[server % 2]!);
    if (order === 'handOver') return this.#handOver();
    if (role === undefined || !isUp(role)) return;
    this.#stage.count(`order.${order}`);
    role.order(order);
  }

  /** The worst moment to resign: the other one has just lost all that it had. */
  #handOver(): void {
    const [active] = this.#serving;
    const other = this.#servers.find((one) => one !== active);
    if (active === undefined || other === undefined || !isUp(other)) return;
    this.#stage.count('order.handOver');
    this.#stage.trouble(AFTERMATH);
    other.process.crash();
    restart(other);
    active.order('resign');
  }

  // Liveness

  protected liveness(): void {
    const { world } = this.#stage;
    const core = this.#core();
    this.#rogue?.process.crash();
    for (const role of this.roles) this.#stage.storeOf(role.name).heal();
    this.#stage.trouble(RECOVERY);
    this.#breakTheOthers(core);
    for (const role of core) this.heal(role);
    // A crash may have been due at the end of a turn that a pause had interrupted.
    world.run(world.now);
    for (const role of core) restart(role);
    this.#settle(core);
    this.checkDrains(
      core.filter((role) => !this.#clients.some((client) => client === role)),
      SLACK,
    );
  }

  /** What must suffice, and one client. */
  #core(): Role[] {
    const { core } = this.#stage.plan;
    const client = this.#clients[core % this.#clients.length]!;
    const [one, other] = SERVERS.map((name) => this.#serverOf(name)!);
    const witness = this.#witness;
    const cores: Role[][] =
      witness === undefined
        ? [[one!, other!], [one!], [other!], [one!, other!]]
        : [
            [one!, other!, witness],
            [one!, other!],
            [one!, witness],
            [other!, witness],
          ];
    return [...cores[core % 4]!, client];
  }

  /** Without a witness there is no telling who is right: then who is not of the core is gone. */
  #breakTheOthers(core: readonly Role[]): void {
    const { world } = this.#stage;
    if (this.#witness === undefined) {
      for (const server of this.#servers) {
        if (core.includes(server) || !isUp(server)) continue;
        if (world.random() < 0.5) server.process.crash();
        else pause(server);
      }
    }
    this.breakTheRest(core);
    // A server that talks and hears nothing: what it claims, and never gets, must starve nobody.
    for (const server of this.#servers) {
      if (core.includes(server) || !isUp(server) || world.random() < 0.5) continue;
      for (const peer of this.peersOf(server)) cutOff(this.#stage, peer, server, { oneWay: true });
      this.#stage.count('deaf');
    }
  }

  /** One serves, and goes on to. */
  #settle(core: readonly Role[]): void {
    const { world } = this.#stage;
    const healedAt = world.now;
    if (!this.#isQuietBy(healedAt + RECOVERY)) {
      if (this.#serving.length === 0) this.#promoteOne(core);
      requireThat(this.#isQuietBy(world.now + RECOVERY), 'settles', () => {
        return `${this.#serving.length} serve ${world.now - healedAt} ms after healing, or change`;
      });
    }
    const client = this.#clients.find((one) => core.includes(one))!;
    const { served } = client;
    this.runUntil(() => client.served > served, world.now + RECOVERY);
    requireThat(client.served > served, 'settles', () => `${client.name} is not served`);
  }

  /** True once the same one has served for a while, and nobody else. */
  #isQuietBy(limit: Instant): boolean {
    const { world, reigns } = this.#stage;
    let { changes } = reigns;
    let since = world.now;
    this.runUntil(() => {
      if (reigns.changes !== changes || this.#serving.length !== 1) since = world.now;
      changes = reigns.changes;
      return world.now >= since + REST;
    }, limit);
    return world.now >= since + REST;
  }

  /** Also one who is not of the core may serve, if it was left as it was. */
  get #serving(): ServerRole[] {
    return this.#servers.filter(({ throne }) => throne.epoch > 0);
  }

  /** Who lacks what the other one has done serves only if it is told to. */
  #promoteOne(core: readonly Role[]): void {
    const servers = this.#servers.filter((server) => core.includes(server));
    const isExcused = this.#stage.plan.isStateful && servers.length === 1;
    requireThat(isExcused, 'settles', () => {
      const states = servers.map(({ name, state }) => `${name} is ${state}`).join(', ');
      return `nobody serves: ${states}`;
    });
    this.#stage.count('order.needed');
    for (const server of servers) server.order('promote');
  }

  protected verdict(): Verdict {
    const { tally } = this.#stage;
    return {
      completed: tally.get('client.served') ?? 0,
      disturbed: (tally.get('server.becameActive') ?? 0) > 1,
    };
  }
}
