/**
 * One server of a simulated pair: the machine that decides who serves, and the broker that asks it, each in
 * its own driver in one process, and wired as the shells are.
 */
import type { Epoch, Guard } from '../../core/election.ts';
import type { Instant } from '../../core/machine.ts';
import type { PairInput, PairOutput, Role } from '../../failover/commands.ts';
import type { PairCall, PairEvent, PairPort, PairRecord } from '../../failover/failover-events.ts';
import { PairMachine, type PairSettings } from '../../failover/pair-machine.ts';
import { pairCodec } from '../../failover/protocol.ts';
import type { BrokerEvent } from '../../majordomo/broker/broker-events.ts';
import {
  BrokerMachine,
  type BrokerCall,
  type BrokerPort,
  type BrokerSettings,
} from '../../majordomo/broker/broker-machine.ts';
import type { BrokerInput, BrokerOutput } from '../../majordomo/wire/commands.ts';
import { brokerCodec } from '../../majordomo/wire/protocol.ts';
import { Driver } from '../../transport/driver.ts';
import { countEvent } from '../majordomo/broker-role.ts';
import { drive, exitAfter, MachineRole, type EndCall } from '../machine-role.ts';
import type { SimProcess } from '../sim-process.ts';
import { PairBrokerChecker } from './broker-checker.ts';
import { SERVERS, WITNESS, type Server } from './plan.ts';
import { endpointOf, type PairStage } from './stage.ts';

export const PAIR = 'pair';

/** As much as two clocks of a plan differ from the world's, and a little more. */
const CLOCK_DRIFT = 0.06;

type PairDriver = Driver<PairPort, PairInput, PairOutput, PairCall, PairEvent>;
type BrokerDriver = Driver<BrokerPort, BrokerInput, BrokerOutput, BrokerCall, BrokerEvent>;

/** One life of the process, and all that ends with it. */
interface Life {
  readonly process: SimProcess;
  readonly checker: PairBrokerChecker;
  pair: PairMachine;
  broker: BrokerMachine;
  pairDriver: PairDriver;
  brokerDriver: BrokerDriver;
  /** The epoch of the state that it has, as its broker said. */
  holds: Epoch;
  reign: Epoch;
}

export class ServerRole extends MachineRole {
  override readonly name: Server;
  readonly role: Role;
  readonly #stage: PairStage;
  #isBuried = false;
  readonly #pairSettings: PairSettings;
  readonly #brokerSettings: BrokerSettings;
  #life!: Life;

  constructor(stage: PairStage, name: Server) {
    super(stage, name);
    this.name = name;
    this.#stage = stage;
    this.role = name === SERVERS[0] ? 'primary' : 'backup';
    const { settings, pair } = stage.plan;
    this.#brokerSettings = {
      ...settings,
      workerLimit: 100,
      noticeGrace: 30,
      clientGrace: 60,
      random: stage.world.random,
    };
    const other = SERVERS.find((server) => server !== name)!;
    this.#pairSettings = {
      pair: PAIR,
      role: this.role,
      protocol: 'own',
      peer: endpointOf(other, 'pair'),
      witness: pair.witness ? endpointOf(WITNESS, 'claims') : undefined,
      heartbeatInterval: pair.heartbeatInterval,
      heartbeatLiveness: pair.heartbeatLiveness,
      noticeGrace: pair.noticeGrace,
      lease: pair.lease,
      clockDrift: CLOCK_DRIFT,
    };
    this.start();
  }

  get broker(): BrokerMachine {
    return this.#life.broker;
  }

  get pair(): PairMachine {
    return this.#life.pair;
  }

  /** The epoch under which it would serve at this instant of the world; 0: it would not. */
  get epoch(): Epoch {
    const { process, pair } = this.#life;
    return process.isOver ? 0 : pair.epochAt(process.now());
  }

  get state(): string {
    const { checker, broker } = this.#life;
    if (checker.epoch > 0) {
      const { queued, inFlight } = broker.requests.state;
      return queued + inFlight > 0 ? 'active busy' : 'active idle';
    }
    const { isComplete, session } = broker.pair!.replica.state;
    if (isComplete) return 'passive synchronised';
    return session === '' ? 'passive waiting' : 'passive copying';
  }

  /** A person says that it shall serve, whatever is lost by that. */
  promote(): void {
    const { process, pairDriver } = this.#life;
    this.#stage.count('promoted');
    process.run(() => pairDriver.call({ type: 'promote' }));
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
      checker: new PairBrokerChecker(stage, this.name, this.#brokerSettings, () => life.broker),
      holds: 0,
      reign: 0,
    } as Life;
    this.#life = life;
    life.pairDriver = this.#drivePair(life);
    life.brokerDriver = this.#driveBroker(life);
    process.run(() => {
      life.pairDriver.bind('pair', endpointOf(this.name, 'pair'), () => undefined);
      life.pairDriver.call({ type: 'stand', standing: { holds: 0, alone: false } });
      life.brokerDriver.bind('peers', endpointOf(this.name, 'peers'), () => {
        const endpoint = endpointOf(this.name, 'peers');
        life.pairDriver.call({ type: 'stand', standing: { endpoint } });
      });
    });
    return (call) => life.brokerDriver.call(call);
  }

  // Who serves

  #drivePair(life: Life): PairDriver {
    const stage = this.#stage;
    const { process } = life;
    const store = stage.storeOf(this.name);
    const record = store.open(process) as PairRecord | undefined;
    return new Driver<PairPort, PairInput, PairOutput, PairCall, PairEvent>({
      machine: (outbox) => (life.pair = new PairMachine(outbox, this.#pairSettings, record)),
      codec: pairCodec,
      kindOf: (port) => (port === 'pair' ? 'router' : 'dealer'),
      transport: stage.network.transport(process),
      clock: process,
      peerQueueBytes: stage.plan.settings.peerQueueBytes,
      store: (written, done) => store.write(process, written, done),
      onEvent: (event) => {
        stage.count(`pair.${event.type}`);
        if ('reason' in event) stage.count(`pair.${event.type}.${event.reason}`);
        this.#noteReign(life, event);
        // Whoever listens may be in the middle of a call to the pair.
        process.atTurnEnd(() => this.#tellBroker(life, event));
      },
    });
  }

  #noteReign(life: Life, event: PairEvent): void {
    const { reigns } = this.#stage;
    if (event.type === 'becameActive') {
      life.reign = event.epoch;
      reigns.began(this.name, life.process, event.epoch, life.holds);
    } else if (event.type === 'becamePassive') {
      reigns.ended(event.epoch);
      if (event.reason === 'higherEpoch') this.#noteDemotion(life);
    }
  }

  #tellBroker({ process, brokerDriver, pairDriver }: Life, event: PairEvent): void {
    switch (event.type) {
      case 'becameActive':
        return brokerDriver.call({ type: 'activate', epoch: event.epoch });
      case 'becamePassive':
        return brokerDriver.call({ type: 'standBy', epoch: event.epoch });
      case 'activeChanged':
        return brokerDriver.call({ type: 'follow', epoch: event.epoch, endpoint: event.endpoint });
      case 'servesAlone':
        return brokerDriver.call({ type: 'servesAlone', epoch: event.epoch });
      case 'drained':
        return brokerDriver.close(() => exitAfter(process, pairDriver));
      default:
    }
  }

  // The broker that asks

  #driveBroker(life: Life): BrokerDriver {
    const stage = this.#stage;
    const { process } = life;
    const settings: BrokerSettings = { ...this.#brokerSettings, guard: this.#guardOf(life) };
    return drive<BrokerPort, BrokerInput, BrokerOutput, BrokerCall, BrokerEvent>({
      stage,
      process,
      machine: (outbox) => (life.broker = new BrokerMachine(outbox, settings)),
      checker: life.checker,
      codec: brokerCodec,
      kindOf: (port) => (port === 'peers' ? 'router' : 'dealer'),
      peerQueueBytes: stage.plan.settings.peerQueueBytes,
      onEvent: (event) => {
        countEvent(stage, event);
        this.#stand(life, event);
        if (event.type === 'drained') life.pairDriver.call({ type: 'drain' });
      },
    });
  }

  #guardOf(life: Life): Guard {
    return {
      epochAt: (now) => life.pair.epochAt(Math.max(now, life.process.now())),
      get highestEpoch() {
        return life.pair.highestEpoch;
      },
      get activeEndpoint() {
        return life.pair.activeEndpoint;
      },
      seen: (_now: Instant, epoch) => {
        if (epoch > life.pair.highestEpoch) life.pairDriver.call({ type: 'seen', epoch });
      },
      asked: () => life.pairDriver.call({ type: 'asked' }),
    };
  }

  #stand(life: Life, event: BrokerEvent): void {
    if (event.type === 'holds') {
      life.holds = event.epoch;
      life.pairDriver.call({ type: 'stand', standing: { holds: event.epoch } });
      if (event.epoch > 0 && life.checker.epoch === 0) this.#stage.count('follower.synchronised');
    } else if (event.type === 'alone') {
      if (life.checker.epoch > 0) this.#stage.reigns.stoodAlone(life.checker.epoch, event.alone);
      life.pairDriver.call({ type: 'stand', standing: { alone: event.alone } });
    }
  }

  /** Who told it that there is a higher epoch. */
  #noteDemotion({ checker }: Life): void {
    const [kind = 'nobody'] = checker.speaker.split('-', 1);
    this.#stage.count(`demoted.by.${kind}`);
  }
}
