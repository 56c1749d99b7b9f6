/**
 * One run of a plan. The viable core that is healed in the end is what should suffice: one server alone, or
 * of a pair both with or without the witness, or one; and one client, which follows and writes.
 *
 * It must be synchronised within a bound although writing goes on, and then all that was asked must end.
 */
import { cutOff, isUp, pause, type Role } from '../roles.ts';
import { requireNone, Scenario, type Verdict } from '../scenario.ts';
import type { RunResult } from '../suite.ts';
import type { Transcript } from '../transcript.ts';
import { requireThat } from '../violation.ts';
import { endpointOf } from '../majordomo-pair/stage.ts';
import { WitnessRole } from '../majordomo-pair/witness-role.ts';
import { ClientRole } from './client-role.ts';
import { inflict } from './faults.ts';
import {
  CHAOS_ENDS,
  KEYS,
  LONG_PAUSE,
  LONGEST_TIMEOUT,
  SERVERS,
  WITNESS,
  type CloneFault,
  type ClonePlan,
  type PlannedWrite,
} from './plan.ts';
import { RogueRole, ROGUE } from './rogue-role.ts';
import { ServerRole } from './server-role.ts';
import { CloneStage } from './stage.ts';
import { StockRole } from './stock-role.ts';

/** How long the core may take beyond timeouts: expiry of dead links and leases, a takeover, back-off. */
const SLACK = 4000;

/** How long the core may take until one of its servers serves, and until its client is synchronised. */
const RECOVERY = 6000;

/** How long one must have served for those who knew better to have said so. */
const SETTLING = 500;

/** How long a person waits for a server that is left alone to serve by itself. */
const PATIENCE = 1500;

/** Milliseconds between two writes while the core recovers, for a replica that takes much, or little. */
const PACE = { much: 40, little: 60 };
const LITTLE = 1000;

/** How often each write may have come again, on average. */
const REPEATS = 30;

const PROOF: PlannedWrite = {
  at: 0,
  client: 0,
  kind: 'set',
  key: 0,
  size: 0,
  ttl: undefined,
  demand: 'none',
  timeout: LONGEST_TIMEOUT,
  abandonAfter: undefined,
  burst: 1,
};

/** Makes room. For stock peers a subtree is cleared key by key, and then not more at once than may be under way. */
const CLEAR: readonly PlannedWrite[] = [{ ...PROOF, kind: 'clear' }];
const DELETES: readonly PlannedWrite[] = KEYS.map((_, key) => ({ ...PROOF, kind: 'delete', key }));

/** Written in the end, and each must be done. */
const PROOFS: readonly PlannedWrite[] = [
  { ...PROOF, key: 1 },
  { ...PROOF, key: 2, ttl: 400 },
  { ...PROOF, kind: 'delete', key: 1 },
  { ...PROOF, key: 3 },
];

/** @throws nothing: a violation is part of the result */
export function runClonePlan(plan: ClonePlan, transcript?: Transcript): RunResult {
  return new CloneRun(new CloneStage(plan, transcript)).run();
}

class CloneRun extends Scenario<CloneFault> {
  readonly #stage: CloneStage;
  readonly #servers: readonly ServerRole[];
  readonly #witness: WitnessRole | undefined;
  readonly #clients: readonly ClientRole[];
  readonly #rogue: RogueRole | undefined;
  readonly #stock: StockRole | undefined;
  /** When the only server of the core was last seen to serve, or was told to. */
  #servedAt = 0;

  constructor(stage: CloneStage) {
    super(stage);
    this.#stage = stage;
    const { topology, clients, rogue, stockPace } = stage.plan;
    const names = SERVERS.slice(0, topology === 'lone' ? 1 : 2);
    this.#witness = topology === 'witness' ? new WitnessRole(stage) : undefined;
    this.#servers = names.map((name) => new ServerRole(stage, name));
    stage.reigns.thrones = () => this.#servers;
    const all: string[] = [...names];
    if (rogue?.rank !== undefined) all.splice(rogue.rank, 0, ROGUE);
    this.#clients = clients.map((client, index) => {
      const { first } = client;
      const ranked = [...all.slice(first % all.length), ...all.slice(0, first % all.length)];
      const endpoints = ranked.map((name) => endpointOf(name, 'peers'));
      return new ClientRole(stage, `client-${index}`, client, endpoints);
    });
    this.#rogue = rogue === undefined ? undefined : new RogueRole(stage, rogue, names);
    this.#stock = stockPace === undefined ? undefined : new StockRole(stage, names, stockPace);
  }

  protected get roles(): readonly Role[] {
    return [...this.#deciders, ...this.#clients];
  }

  /** Who has a word in who serves. */
  get #deciders(): readonly (ServerRole | WitnessRole)[] {
    return this.#witness === undefined ? this.#servers : [...this.#servers, this.#witness];
  }

  protected peersOf(role: Role): readonly Role[] {
    if (role === this.#witness || this.#clients.some((client) => client === role)) {
      return this.#servers;
    }
    return [...this.#deciders.filter((other) => other !== role), ...this.#clients];
  }

  protected inflict(fault: CloneFault, role: Role): boolean {
    return inflict(this.#stage, fault, role, this.peersOf(role), this.#servers);
  }

  protected chaos(): void {
    const { world, plan } = this.#stage;
    for (const write of plan.writes) {
      const client = this.#clients[write.client % this.#clients.length]!;
      world.schedule(write.at, () => client.issue(write));
    }
    const { steadyPace, lossPace } = plan;
    if (lossPace !== undefined) this.#lose(lossPace);
    if (steadyPace !== undefined) {
      world.schedule(CHAOS_ENDS, this.#writeOn(this.#coreClient, steadyPace));
    }
    // Who is not there is not hit: its faults befall a server.
    this.scheduleFaults(
      plan.faults.map((fault) =>
        fault.target === WITNESS && this.#witness === undefined
          ? { ...fault, target: SERVERS[0] }
          : fault,
      ),
    );
    // A long pause is one that is over before all is healed.
    const ends = plan.faults.map(({ kind, at }) => (kind === 'longPause' ? at + LONG_PAUSE : 0));
    world.run(Math.max(CHAOS_ENDS, ...ends));
  }

  /** Again and again a message is lost that a server sends to a client, or to the other server. */
  #lose(pace: number): void {
    const { world, network, isHealed } = this.#stage;
    if (isHealed) return;
    const listeners: readonly Role[] = [...this.#clients, ...this.#servers];
    const to = listeners[Math.floor(world.random() * listeners.length)]!;
    for (const from of this.#servers) if (from !== to) network.drop(from.name, to.name, 1);
    world.after(pace, () => this.#lose(pace));
  }

  get #coreClient(): ClientRole {
    return this.#clients[this.#stage.plan.core % this.#clients.length]!;
  }

  /** Writes a key after the other, every `pace` milliseconds, until it is told to end. */
  #writeOn(client: ClientRole, pace: number): () => void {
    const { world } = this.#stage;
    let key = 0;
    let isOver = false;
    const write = (): void => {
      if (isOver) return;
      client.issue({ ...PROOF, key: key++, timeout: 1000 });
      world.after(pace, write);
    };
    write();
    return () => (isOver = true);
  }

  protected liveness(): void {
    const { world } = this.#stage;
    const client = this.#coreClient;
    this.#rogue?.process.crash();
    this.#stock?.process.crash();
    this.#servedAt = world.now;
    const servers = this.#heal(client);
    this.#awaitActive(servers);
    this.#checkRecovery(client, servers);
    const limit = world.now + LONGEST_TIMEOUT + SLACK;
    this.runUntil(() => this.#isQuiet(client, servers), limit);
    this.#checkSettled(client, servers);
    this.#prove(client, servers);
    this.#checkRepeats();
    const [server] = servers;
    requireNone(client.machine.status().pending, 'writes of the client');
    if (!this.#stage.isPair) this.checkDrains([server!, client], SLACK);
    else this.checkDrains([client], SLACK);
  }

  /** What is said again must not make that more is said again. */
  #checkRepeats(): void {
    const repeats = this.#stage.tally.get('server.writeRepeated') ?? 0;
    const limit = REPEATS * (this.#stage.writes.size + 10);
    requireThat(repeats <= limit, 'repeats are bounded', () => {
      return `${this.#stage.writes.size} writes were repeated ${repeats} times`;
    });
  }

  protected verdict(): Verdict {
    const { tally, reigns } = this.#stage;
    const disturbances = ['client.gapDetected', 'client.disconnected', 'server.followerLeftBehind'];
    return {
      completed: tally.get('client.done') ?? 0,
      disturbed: reigns.count > 1 || disturbances.some((name) => tally.has(name)),
    };
  }

  /** Returns the servers of the core. */
  #heal(client: ClientRole): readonly ServerRole[] {
    const stage = this.#stage;
    const { core: chosen } = stage.plan.pair;
    const isPair = stage.isPair;
    const servers = this.#servers.filter(
      ({ name }) => !isPair || chosen === name || !chosen.startsWith('server-'),
    );
    const witnesses = this.#witness === undefined || chosen === 'servers' ? [] : [this.#witness];
    const deciders: readonly Role[] = [...servers, ...witnesses];
    this.breakTheRest([client, ...this.#deciders]);
    stage.network.dropNone();
    for (const disk of stage.disks()) disk.heal();
    for (const role of this.#deciders) {
      stage.storeOf(role.name).heal();
      if (!deciders.includes(role)) this.#breakDecider(role);
    }
    for (const role of [...deciders, client]) this.heal(role);
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
      return `${serving()} of ${servers.length} servers serve, though all is healed`;
    });
  }

  /** One that is left alone may not serve, for what the other has done; unless a person says so. */
  #promote(servers: readonly ServerRole[]): void {
    if (!this.#stage.isPair) return;
    const { world } = this.#stage;
    const [only, other] = servers;
    if (only!.epoch > 0) this.#servedAt = world.now;
    if (other !== undefined || world.now < this.#servedAt + PATIENCE) return;
    this.#servedAt = world.now;
    only!.promote();
  }

  /** It is synchronised with what there was when all was healed, although others go on writing. */
  #checkRecovery(client: ClientRole, servers: readonly ServerRole[]): void {
    const { world, plan } = this.#stage;
    const from = world.now;
    const head = this.#headOf(servers);
    const { window } = plan.clients[plan.core % plan.clients.length]!;
    const end = this.#writeOn(client, window < LITTLE ? PACE.little : PACE.much);
    const isThere = (): boolean => {
      const { checker } = client;
      return (
        checker.synchronisedAt > from ||
        (checker.isSynchronised && checker.position.sequence >= head)
      );
    };
    this.runUntil(() => {
      this.#promote(servers);
      return isThere() && world.now > from + SETTLING;
    }, from + RECOVERY);
    end();
    requireThat(isThere(), 'recovery ends', () => {
      const { state, position } = client.machine.status();
      return `${client.name} is ${state} at ${position.sequence}, and ${head} is ${RECOVERY} milliseconds old`;
    });
  }

  #headOf(servers: readonly ServerRole[]): number {
    const serving = servers.find(({ epoch }) => epoch > 0);
    return serving?.machine?.status().position.sequence ?? 0;
  }

  #isQuiet(client: ClientRole, servers: readonly ServerRole[]): boolean {
    this.#promote(servers);
    const { checker } = client;
    if (checker.unsettled > 0 || !checker.isSynchronised) return false;
    for (const { machine } of servers) if ((machine?.status().pending ?? 0) > 0) return false;
    return checker.position.sequence === this.#headOf(servers);
  }

  #checkSettled(client: ClientRole, servers: readonly ServerRole[]): void {
    const { checker } = client;
    for (const { id, outcome } of checker.writes.values()) {
      requireThat(outcome !== undefined, 'every write ends once', () => {
        return `write ${id} of ${client.name} has no outcome`;
      });
    }
    const head = this.#headOf(servers);
    const isEqual = checker.isSynchronised && checker.position.sequence === head;
    requireThat(isEqual, 'recovery ends', () => {
      return `${client.name} is ${client.state} at ${checker.position.sequence} of ${head}, and nothing is written`;
    });
  }

  /** What is written now is done. */
  #prove(client: ClientRole, servers: readonly ServerRole[]): void {
    const { world } = this.#stage;
    const before = client.checker.writes.size;
    const room = this.#stock === undefined ? CLEAR : DELETES;
    for (const proof of [...room, ...PROOFS]) {
      // Also if it does not arrive the first time.
      for (const { name } of servers) this.#stage.network.drop(client.name, name, 1);
      client.issue(proof);
      this.runUntil(() => this.#isQuiet(client, servers), world.now + LONGEST_TIMEOUT + SLACK);
    }
    this.#checkSettled(client, servers);
    for (const { id, outcome, key } of [...client.checker.writes.values()].slice(before)) {
      requireThat(outcome?.outcome === 'done', 'the core works again', () => {
        return `write ${id} of ${key}, asked after healing, ends with ${outcome?.outcome}`;
      });
    }
    this.runUntil(() => false, world.now + SETTLING);
    const serving = servers.find(({ epoch }) => epoch > 0);
    const reign = this.#stage.truth.of(serving?.epoch ?? 0);
    const shown = reign?.viewAt(this.#headOf(servers));
    requireThat(shown === undefined || !shown.has(KEYS[2]), 'expiry is exact', () => {
      return `${KEYS[2]} is still there`;
    });
  }
}
