/**
 * One server of a simulated Clone: alone, or with the machine that decides which of two serves, each in its
 * own driver in one process and wired as the shells are; with its state on a simulated disk, or without.
 */
import type { StorageBatch } from '../../core/batch.ts';
import type { Epoch, Guard } from '../../core/election.ts';
import type { Instant } from '../../core/machine.ts';
import { Recovery } from '../../clone/server/records.ts';
import { ServerMachine, type ServerSettings } from '../../clone/server/server-machine.ts';
import type { CloneServerEvent, ServerCall, ServerPort } from '../../clone/server-events.ts';
import { serverCodec } from '../../clone/wire/protocol.ts';
import type { PairInput, PairOutput } from '../../failover/commands.ts';
import type { PairCall, PairEvent, PairPort, PairRecord } from '../../failover/failover-events.ts';
import { PairMachine, type PairSettings } from '../../failover/pair-machine.ts';
import { pairCodec } from '../../failover/protocol.ts';
import { Storage } from '../../storage/storage.ts';
import { Driver } from '../../transport/driver.ts';
import { endpointOf } from '../majordomo-pair/stage.ts';
import { drive, exitAfter, MachineRole, type EndCall } from '../machine-role.ts';
import { restart } from '../roles.ts';
import type { SimProcess } from '../sim-process.ts';
import { SERVERS, WITNESS, type Server } from './plan.ts';
import {
  ServerChecker,
  type ServerMessage,
  type ServerSaying,
  type ServerShown,
} from './server-checker.ts';
import type { CloneStage } from './stage.ts';

const PAIR = 'clone';

/** As much as two clocks of a plan differ from the world's, and a little more. */
const CLOCK_DRIFT = 0.06;

/** Somebody looks after a server whose storage takes nothing any more. */
const OPERATOR = 100;

type PairDriver = Driver<PairPort, PairInput, PairOutput, PairCall, PairEvent>;
type ServerDriver = Driver<ServerPort, ServerMessage, ServerSaying, ServerCall, CloneServerEvent>;

/** One life of the process, and all that ends with it. */
interface Life {
  readonly process: SimProcess;
  readonly checker: ServerChecker;
  storage: Storage | undefined;
  pair: PairMachine | undefined;
  pairDriver: PairDriver | undefined;
  server: ServerMachine | undefined;
  serverDriver: ServerDriver | undefined;
  /** The epoch of the state that it has, as its machine said. */
  holds: Epoch;
}

export class ServerRole extends MachineRole {
  override readonly name: Server;
  readonly #stage: CloneStage;
  #isBuried = false;
  #life!: Life;

  constructor(stage: CloneStage, name: Server) {
    super(stage, name);
    this.name = name;
    this.#stage = stage;
    this.start();
  }

  get machine(): ServerMachine | undefined {
    return this.#life.process.isOver ? undefined : this.#life.server;
  }

  /** The epoch under which it would serve at this instant of the world; 0: it would not. */
  get epoch(): Epoch {
    const { process, pair, checker } = this.#life;
    if (process.isOver) return 0;
    return pair === undefined ? checker.epoch : pair.epochAt(process.now());
  }

  get isAlone(): boolean {
    return this.machine?.status().servesAlone === true;
  }

  get state(): string {
    const { checker, server } = this.#life;
    if (server === undefined) return 'opening';
    const { backup, pending } = server.status();
    if (checker.epoch === 0)
      return this.#life.holds > 0 ? 'passive synchronised' : 'passive copying';
    if (pending > 0) return 'active busy';
    return backup === 'catchingUp' ? 'active copied' : 'active idle';
  }

  /** A person says that it shall serve, whatever is lost by that. */
  promote(): void {
    const { process, pairDriver } = this.#life;
    this.#stage.count('promoted');
    this.#stage.reigns.promoted(this.name);
    process.run(() => pairDriver?.call({ type: 'promote' }));
  }

  /** It dies, and is never started again. */
  bury(): void {
    this.#isBuried = true;
    this.process.crash();
  }

  override start(): void {
    if (!this.#isBuried) super.start();
  }

  protected live(process: SimProcess): (call: EndCall) => void {
    const stage = this.#stage;
    const life: Life = {
      process,
      checker: new ServerChecker(stage, this.name, () => shownOf(life.server!)),
      storage: undefined,
      pair: undefined,
      pairDriver: undefined,
      server: undefined,
      serverDriver: undefined,
      holds: 0,
    };
    this.#life = life;
    process.run(() => {
      if (stage.plan.isStored) this.#open(life);
      else this.#begin(life, undefined);
    });
    return (call) => {
      if (life.serverDriver === undefined) process.exit();
      else life.serverDriver.call(call);
    };
  }

  #open(life: Life): void {
    const stage = this.#stage;
    const { process } = life;
    const recovery = new Recovery();
    Storage.open(
      stage.diskOf(this.name).open(process),
      {
        options: { durability: 'fsync' },
        each: (key, value) => recovery.add(key, value),
        onState: (state) => {
          stage.count(`storage.${state}`);
          if (state !== 'open') stage.hasStoreFailed = true;
          if (state === 'failed') this.#callOperator(life);
        },
      },
      (error, storage) => {
        if (error !== undefined) {
          stage.count(`storage.refused.${error.code}`);
          process.exit();
          return this.#callOperator(life);
        }
        life.storage = storage;
        this.#begin(life, recovery);
      },
    );
  }

  /** Whatever is left of this process ends, and the next one begins. */
  #callOperator({ process }: Life): void {
    this.#stage.world.after(OPERATOR, () => {
      if (this.process !== process) return;
      process.crash();
      restart(this);
    });
  }

  #begin(life: Life, recovery: Recovery | undefined): void {
    const stage = this.#stage;
    const { process } = life;
    if (stage.isPair) this.#drivePair(life);
    life.serverDriver = this.#driveServer(life, recovery);
    life.checker.built();
    const endpoint = endpointOf(this.name, 'peers');
    life.pairDriver?.bind('pair', endpointOf(this.name, 'pair'), () => undefined);
    const holds = recovery?.holds ?? 0;
    life.holds = holds;
    life.pairDriver?.call({ type: 'stand', standing: { holds, alone: false } });
    life.serverDriver.bind('peers', endpoint, () => {
      life.pairDriver?.call({ type: 'stand', standing: { endpoint } });
    });
    if (stage.plan.stockPace === undefined) return;
    for (const port of ['publisher', 'collector'] as const) {
      life.serverDriver.bind(port, stockEndpointOf(this.name, port), () => undefined);
    }
    process.run(() => life.serverDriver?.call({ type: 'serveStock' }));
  }

  // Who serves

  #drivePair(life: Life): void {
    const stage = this.#stage;
    const { process } = life;
    const store = stage.storeOf(this.name);
    const record = store.open(process) as PairRecord | undefined;
    life.pairDriver = new Driver<PairPort, PairInput, PairOutput, PairCall, PairEvent>({
      machine: (outbox) => (life.pair = new PairMachine(outbox, this.#pairSettings(), record)),
      codec: pairCodec,
      kindOf: (port) => (port === 'pair' ? 'router' : 'dealer'),
      transport: stage.network.transport(process),
      clock: process,
      peerQueueBytes: 10_000_000,
      store: (written, done) => store.write(process, written, done),
      onEvent: (event) => {
        stage.count(`pair.${event.type}`);
        if ('reason' in event) stage.count(`pair.${event.type}.${event.reason}`);
        this.#noteReign(life, event);
        // Whoever listens may be in the middle of a call to the pair.
        process.atTurnEnd(() => this.#tellServer(life, event));
      },
    });
  }

  #pairSettings(): PairSettings {
    const { pair, topology } = this.#stage.plan;
    const other = SERVERS.find((server) => server !== this.name)!;
    return {
      pair: PAIR,
      role: this.name === SERVERS[0] ? 'primary' : 'backup',
      protocol: 'own',
      peer: endpointOf(other, 'pair'),
      witness: topology === 'witness' ? endpointOf(WITNESS, 'claims') : undefined,
      heartbeatInterval: pair.heartbeatInterval,
      heartbeatLiveness: pair.heartbeatLiveness,
      noticeGrace: pair.noticeGrace,
      lease: pair.lease,
      clockDrift: CLOCK_DRIFT,
    };
  }

  #noteReign(life: Life, event: PairEvent): void {
    const { reigns } = this.#stage;
    if (event.type === 'becameActive') {
      reigns.began(this.name, life.process, event.epoch, life.holds);
    } else if (event.type === 'becamePassive') {
      reigns.ended(event.epoch);
      if (event.reason === 'higherEpoch') this.#stage.count(`demoted.by.${life.checker.speaker}`);
    }
  }

  #tellServer({ process, serverDriver, pairDriver }: Life, event: PairEvent): void {
    switch (event.type) {
      case 'becameActive':
        return serverDriver?.call({ type: 'activate', epoch: event.epoch });
      case 'becamePassive':
        return serverDriver?.call({ type: 'standBy', epoch: event.epoch });
      case 'activeChanged':
        return serverDriver?.call({
          type: 'follow',
          epoch: event.epoch,
          endpoint: event.endpoint,
        });
      case 'servesAlone':
        return serverDriver?.call({ type: 'servesAlone', epoch: event.epoch });
      case 'drained':
        return serverDriver?.close(() => exitAfter(process, pairDriver!));
      default:
    }
  }

  // The server that asks

  #driveServer(life: Life, recovery: Recovery | undefined): ServerDriver {
    const stage = this.#stage;
    const { process, storage } = life;
    const settings = this.#serverSettings(life, recovery);
    return drive<ServerPort, ServerMessage, ServerSaying, ServerCall, CloneServerEvent>({
      stage,
      process,
      machine: (outbox) => (life.server = new ServerMachine(outbox, settings, recovery)),
      checker: life.checker,
      codec: serverCodec,
      // A stock writer is simulated by a socket that can be bound to: it loses less than it might.
      kindOf: (port) =>
        (({ active: 'dealer', publisher: 'pub', peers: 'router', collector: 'router' }) as const)[
          port
        ],
      peerQueueBytes: stage.plan.settings.peerQueueBytes,
      ...(storage === undefined
        ? {}
        : { store: (batch, done) => storage.write(batch as StorageBatch, done) }),
      onEvent: (event) => {
        this.#count(event);
        this.#stand(life, event);
        if (event.type === 'drained') this.#drained(life);
      },
    });
  }

  #drained(life: Life): void {
    const { process, storage, pairDriver, serverDriver } = life;
    const end = (): void => {
      if (pairDriver !== undefined) return pairDriver.call({ type: 'drain' });
      if (serverDriver !== undefined) exitAfter(process, serverDriver);
    };
    if (storage === undefined) end();
    else storage.close(() => process.run(end));
  }

  #serverSettings(life: Life, recovery: Recovery | undefined): ServerSettings {
    const { plan, world, isPair, wallClock, truth } = this.#stage;
    const { settings } = plan;
    const last = recovery?.epoch ?? truth.latest?.epoch ?? 0;
    return {
      replication: settings.replication,
      heartbeatInterval: settings.heartbeatInterval,
      heartbeatLiveness: settings.heartbeatLiveness,
      historyLimit: settings.historyLimit,
      historyBytes: settings.historyBytes,
      keyLimit: settings.keyLimit,
      stateBytes: settings.stateBytes,
      valueBytes: settings.valueBytes,
      followerLimit: settings.followerLimit,
      writerLimit: settings.writerLimit,
      writerTtl: 600_000,
      pendingLimit: settings.pendingLimit,
      pendingBytes: 1_000_000,
      noticeGrace: 30,
      backupWindow: plan.pair.backupWindow,
      random: world.random,
      guard: isPair ? this.#guardOf(life) : undefined,
      epoch: isPair ? 0 : Math.max(last + 1, Math.floor(wallClock)),
      isDurable: plan.isStored,
      wallClock: wallClock - life.process.now(),
    };
  }

  #guardOf(life: Life): Guard {
    const pair = life.pair!;
    return {
      epochAt: (now) => pair.epochAt(Math.max(now, life.process.now())),
      get highestEpoch() {
        return pair.highestEpoch;
      },
      get activeEndpoint() {
        return pair.activeEndpoint;
      },
      seen: (_now: Instant, epoch) => {
        if (epoch > pair.highestEpoch) life.pairDriver?.call({ type: 'seen', epoch });
      },
      asked: () => life.pairDriver?.call({ type: 'asked' }),
    };
  }

  #stand(life: Life, event: CloneServerEvent): void {
    if (event.type === 'holds') {
      life.holds = event.epoch;
      life.pairDriver?.call({ type: 'stand', standing: { holds: event.epoch } });
      if (event.epoch > 0 && life.checker.epoch === 0) this.#stage.count('backup.synchronised');
    } else if (event.type === 'alone') {
      const { epoch } = life.checker;
      if (epoch > 0) this.#stage.reigns.stoodAlone(epoch, event.alone);
      life.pairDriver?.call({ type: 'stand', standing: { alone: event.alone } });
    }
  }

  #count(event: CloneServerEvent): void {
    const name = `server.${event.type}`;
    this.#stage.count(name);
    if ('reason' in event) this.#stage.count(`${name}.${event.reason}`);
    if (event.type === 'followerBegan') this.#stage.count(`${name}.${event.mode}`);
    if (event.type === 'writeRefused') this.#stage.count(`${name}.${event.refusal}`);
    if (event.type === 'published' && event.isExpiry) this.#stage.count('server.expired');
  }
}

/** Where stock peers follow, and where they write. */
export function stockEndpointOf(name: string, port: 'publisher' | 'collector'): string {
  return `tcp://${name}:${port === 'publisher' ? 5556 : 5557}`;
}

function shownOf(machine: ServerMachine): ServerShown {
  const { publication } = machine;
  const { entries, history } = publication;
  return {
    position: machine.status().position,
    size: entries.size,
    *entries() {
      for (const entry of entries) yield [entry.key, entry];
    },
    published: history.published,
    accepted: history.accepted,
    update: (sequence) => history.get(sequence),
    item: (key) => entries.get(key),
  };
}
