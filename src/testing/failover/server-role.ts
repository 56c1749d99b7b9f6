/**
 * A server of a simulated pair: the real machine, and the plainest server that it can protect, which asks
 * its guard before each answer, and whose state the other one copies.
 */
import type { Epoch } from '../../core/election.ts';
import type { Address } from '../../core/machine.ts';
import type { Role as PairRole } from '../../failover/commands.ts';
import type { PairCall, PairEvent, PairPort, PairRecord } from '../../failover/failover-events.ts';
import { PairMachine } from '../../failover/pair-machine.ts';
import { pairCodec, stockCodec } from '../../failover/protocol.ts';
import type { SocketKind, TransportSocket } from '../../transport/transport.ts';
import { drive, exitAfter, MachineRole, type EndCall } from '../machine-role.ts';
import type { SimProcess } from '../sim-process.ts';
import { requireThat } from '../violation.ts';
import { decodeWord, encodeWord, type Word } from './asking.ts';
import { PairChecker } from './pair-checker.ts';
import type { Throne } from './reigns.ts';
import { endpointOf, otherOf, PAIR, SERVERS, WITNESS, type FailoverStage } from './stage.ts';

/** Bytes that may wait for one peer. */
const QUEUE_BYTES = 4000;

/** Milliseconds between two looks at the other one's state, and without one until it is given up. */
const COPY_PACE = 40;
const COPY_PATIENCE = 200;

interface Life {
  readonly process: SimProcess;
  readonly machine: () => PairMachine;
  readonly call: (call: PairCall) => void;
  readonly clients: TransportSocket;
  readonly copier: TransportSocket;
  /** The epoch whose state it has. */
  holds: Epoch;
  isAlone: boolean;
  copiedAt: number;
}

export class ServerRole extends MachineRole {
  declare protected readonly stage: FailoverStage;
  readonly role: PairRole;
  #life!: Life;

  constructor(stage: FailoverStage, name: string) {
    super(stage, name);
    this.role = name === SERVERS[0] ? 'primary' : 'backup';
    this.start();
  }

  /** For the fault × state matrix. */
  get state(): string {
    return this.#life.machine().status(this.process.now()).state;
  }

  /** Whether it would serve now. */
  get throne(): Throne {
    const { process } = this;
    const epoch = process.isOver ? 0 : this.#life.machine().epochAt(process.now());
    return { role: this.role, epoch };
  }

  /** What a person tells it. */
  order(type: 'promote' | 'resign'): void {
    const { process, call } = this.#life;
    process.run(() => call({ type }));
  }

  protected live(process: SimProcess): (call: EndCall) => void {
    const { stage, name } = this;
    const settings = this.#settings();
    const store = stage.storeOf(name);
    const record = store.open(process) as PairRecord | undefined;
    stage.promisesOf(name).restarted(false);
    let machine!: PairMachine;
    const checker = new PairChecker(stage, name, settings, () => machine);
    const driver = drive({
      stage,
      process,
      machine: (outbox) => (machine = new PairMachine(outbox, settings, record)),
      checker,
      codec: stage.isStock ? stockCodec : pairCodec,
      kindOf: (port: PairPort) => kindOf(port, stage.isStock),
      peerQueueBytes: QUEUE_BYTES,
      store: (batch, done) => store.write(process, batch, done),
      onEvent: (event: PairEvent) => this.#handleEvent(life, event, driver),
    });
    const transport = stage.network.transport(process);
    const life: Life = {
      process,
      machine: () => machine,
      call: (call) => driver.call(call),
      clients: transport.open('router', {
        onMessage: (from, frames) => this.#answer(life, from, decodeWord(frames)),
        onPeerGone: () => undefined,
      }),
      copier: transport.open('dealer', {
        onMessage: (_from, frames) => this.#copied(life, decodeWord(frames)),
        onPeerGone: () => undefined,
      }),
      holds: 0,
      isAlone: true,
      copiedAt: -Infinity,
    };
    this.#life = life;
    stage.holders.set(name, () => (process.isOver ? undefined : checker.holds));
    process.run(() => {
      driver.bind('pair', endpointOf(name, 'pair'), () => undefined);
      life.clients.bind(endpointOf(name, 'clients'), () => undefined);
      life.copier.connect(endpointOf(otherOf(name), 'clients'));
      const holds = stage.plan.isStateful ? 0 : undefined;
      const endpoint = endpointOf(name, 'clients');
      life.call({
        type: 'stand',
        standing: holds === undefined ? { endpoint } : { endpoint, holds },
      });
    });
    if (stage.plan.isStateful) this.#keepCopying(life);
    return life.call;
  }

  #settings() {
    const { plan, clockDrift, hasWitness, isStock } = this.stage;
    const { heartbeatInterval, heartbeatLiveness, noticeGrace, lease } = plan.settings;
    return {
      pair: PAIR,
      role: this.role,
      peer: endpointOf(otherOf(this.name), 'pair'),
      witness: hasWitness ? endpointOf(WITNESS, 'claims') : undefined,
      protocol: isStock ? ('stock' as const) : ('own' as const),
      heartbeatInterval,
      heartbeatLiveness,
      noticeGrace,
      lease,
      clockDrift,
    };
  }

  #handleEvent(life: Life, event: PairEvent, driver: Parameters<typeof exitAfter>[1]): void {
    this.stage.count(`server.${event.type}`);
    if ('reason' in event && event.type !== 'malformed') {
      this.stage.count(`server.${event.type}.${event.reason}`);
    }
    switch (event.type) {
      case 'becameActive':
        life.copiedAt = life.process.now();
        life.isAlone = true;
        life.holds = event.epoch;
        if (this.stage.plan.isStateful) this.#stand(life, { holds: event.epoch });
        return;
      case 'becamePassive':
        return;
      case 'drained':
        requireThat(this.isDraining, 'lives on', () => `${this.name} ends by itself`);
        return exitAfter(life.process, driver);
      default:
    }
  }

  #stand({ call }: Life, standing: { holds?: Epoch; alone?: boolean }): void {
    call({ type: 'stand', standing });
  }

  // What clients ask

  #answer(life: Life, from: Address, word: Word): void {
    const { process, call, machine, clients } = life;
    const { number, type } = word;
    call({ type: 'seen', epoch: word.epoch });
    if (type === 'ask') call({ type: 'asked' });
    const epoch = machine().epochAt(process.now());
    const say = (answer: Omit<Word, 'number'>): void => {
      clients.send(from, encodeWord({ ...answer, number }), () => undefined);
    };
    if (type === 'recorded') return this.#recorded(life, word.epoch, epoch);
    if (epoch === 0) {
      if (type === 'copy') return;
      const endpoint = machine().activeEndpoint;
      return say({ type: 'refused', epoch: machine().highestEpoch, endpoint });
    }
    this.stage.checkServing();
    const isBelievable = word.epoch <= machine().highestEpoch;
    requireThat(!isBelievable || epoch >= word.epoch, 'epochs ascend', () => {
      return `${this.name} serves under ${epoch} who has seen ${word.epoch}`;
    });
    say({ type: type === 'copy' ? 'copied' : 'served', epoch, endpoint: '' });
  }

  // The copying of the state

  #keepCopying(life: Life): void {
    const { process } = life;
    process.wakeAt(process.now() + COPY_PACE, () => {
      const epoch = life.machine().epochAt(process.now());
      if (epoch > 0) this.#mindFollower(life);
      else if (life.machine().activeEndpoint !== '') this.#send(life, 'copy', life.holds);
      this.#keepCopying(life);
    });
  }

  #send({ copier }: Life, type: 'copy' | 'recorded', epoch: Epoch): void {
    copier.send('', encodeWord({ type, number: 0, epoch, endpoint: '' }), () => undefined);
  }

  /** The active one's state has come. */
  #copied(life: Life, { type, epoch }: Word): void {
    const { machine, process } = life;
    if (type !== 'copied' || machine().epochAt(process.now()) > 0) return;
    if (epoch < life.holds || epoch < machine().highestEpoch) return;
    life.holds = epoch;
    this.#stand(life, { holds: epoch });
    this.#send(life, 'recorded', epoch);
  }

  /** The follower has it all. */
  #recorded(life: Life, recorded: Epoch, own: Epoch): void {
    if (recorded !== own || own === 0) return;
    life.copiedAt = life.process.now();
    this.stage.reigns.mark(own);
    if (!life.isAlone) return;
    life.isAlone = false;
    this.stage.count('server.followed');
    this.#stand(life, { alone: false });
  }

  #mindFollower(life: Life): void {
    if (life.isAlone || life.process.now() < life.copiedAt + COPY_PATIENCE) return;
    life.isAlone = true;
    this.stage.count('server.abandoned');
    this.#stand(life, { alone: true });
  }
}

function kindOf(port: PairPort, isStock: boolean): SocketKind {
  if (isStock) return port === 'pair' ? 'pub' : 'sub';
  return port === 'pair' ? 'router' : 'dealer';
}
