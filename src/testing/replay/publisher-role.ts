/** The publisher of a simulated run: the real machine, and a program that publishes without a pause. */
import type { StorageBatch } from '../../core/batch.ts';
import { kvPublisherCodec } from '../../clone/replay/kv-codec.ts';
import { KvPublisherMachine } from '../../clone/replay/kv-publisher-machine.ts';
import type {
  ReplayPublisherCall,
  ReplayPublisherEvent,
  ReplayPublisherStatus,
} from '../../clone/replay/events.ts';
import { LIVES_KEY, encodeReigns, Recovery } from '../../clone/replay/recovery.ts';
import { sequenceIn } from '../../clone/replay/publication.ts';
import { streamPublisherCodec } from '../../clone/replay/stream-codec.ts';
import { StreamPublisherMachine } from '../../clone/replay/stream-publisher-machine.ts';
import { drive, exitAfter, MachineRole, type EndCall } from '../machine-role.ts';
import type { SimProcess } from '../sim-process.ts';
import { TOPICS } from './plan.ts';
import { PublisherChecker } from './publisher-checker.ts';
import { PUBLISHER, REPLAY, type ReplayStage } from './stage.ts';
import { bodyOf, toldBy } from './truth.ts';

/** Every so-manieth message is a large one, where a plan has such. */
const LARGE = 5;

/** What a role needs of either machine. */
export interface AnyPublisher {
  readonly accepted: number;
  status(): ReplayPublisherStatus;
}

interface Life {
  readonly process: SimProcess;
  readonly machine: () => AnyPublisher;
  readonly call: (call: ReplayPublisherCall) => void;
  accepted: number;
}

export class PublisherRole extends MachineRole {
  declare protected readonly stage: ReplayStage;
  #life!: Life;

  constructor(stage: ReplayStage) {
    super(stage, 'publisher');
    this.start();
  }

  /** For the fault × state matrix. */
  get state(): string {
    return this.stage.isStream ? 'stream' : 'kv-events';
  }

  status(): ReplayPublisherStatus {
    return this.#life.machine().status();
  }

  /** Publishes so many at once, if the process is there and the store has room. */
  publish(count: number): void {
    const life = this.#life;
    life.process.run(() => {
      for (let index = 0; index < count; index++) this.#publishOne(life);
    });
  }

  protected live(process: SimProcess): (call: EndCall) => void {
    const { truth } = this.stage;
    truth.life++;
    const recovery = this.#recover();
    let machine!: AnyPublisher;
    const driver = this.stage.isStream
      ? this.#driveStream(process, recovery, (made) => (machine = made))
      : this.#driveKvEvents(process, recovery, (made) => (machine = made));
    const life: Life = {
      process,
      machine: () => machine,
      call: (call) => driver.call(call),
      accepted: machine.accepted,
    };
    this.#life = life;
    process.run(() => {
      if (this.stage.isStream) driver.bind('peers', PUBLISHER, () => undefined);
      else {
        driver.bind('publisher', PUBLISHER, () => undefined);
        driver.bind('replay', REPLAY, () => undefined);
      }
    });
    this.#goOn(life);
    return life.call;
  }

  /** What the former life left; all that is durable counts as published. */
  #recover(): Recovery {
    const { truth, plan, store } = this.stage;
    const recovery = new Recovery();
    if (!plan.isStored) return recovery;
    for (const [key, frames] of store.records) {
      recovery.add(key, frames);
      const told = sequenceIn(key) === undefined ? undefined : toldBy(frames.slice(1));
      if (told !== undefined) truth.published(told);
    }
    const base = recovery.newest ?? 0;
    const reigns = [...recovery.reigns, { epoch: truth.life, base }];
    store.records.set(LIVES_KEY, encodeReigns(reigns));
    return recovery;
  }

  #driveStream(process: SimProcess, recovery: Recovery, made: (machine: AnyPublisher) => void) {
    const { stage } = this;
    const settings = { ...this.#settings(), epoch: stage.truth.life };
    let machine!: StreamPublisherMachine;
    const driver = drive({
      stage,
      process,
      machine: (outbox) => {
        machine = new StreamPublisherMachine(outbox, settings, recovery);
        made(machine);
        return machine;
      },
      checker: new PublisherChecker<'peers'>(stage, () => machine),
      codec: streamPublisherCodec,
      kindOf: () => 'router',
      peerQueueBytes: stage.plan.settings.peerQueueBytes,
      store: (batch, done) => stage.store.write(process, batch as StorageBatch, done),
      onEvent: (event: ReplayPublisherEvent) => this.#handleEvent(process, event, driver),
    });
    return driver as unknown as AnyDriver;
  }

  #driveKvEvents(process: SimProcess, recovery: Recovery, made: (machine: AnyPublisher) => void) {
    const { stage } = this;
    const { layout, peerQueueBytes } = stage.plan.settings;
    let machine!: KvPublisherMachine;
    const driver = drive({
      stage,
      process,
      machine: (outbox) => {
        machine = new KvPublisherMachine(outbox, this.#settings(), recovery);
        made(machine);
        return machine;
      },
      checker: new PublisherChecker<'publisher' | 'replay'>(stage, () => machine),
      codec: kvPublisherCodec(layout),
      kindOf: (port) => (port === 'publisher' ? 'pub' : 'router'),
      peerQueueBytes,
      store: (batch, done) => stage.store.write(process, batch as StorageBatch, done),
      onEvent: (event: ReplayPublisherEvent) => this.#handleEvent(process, event, driver),
    });
    return driver as unknown as AnyDriver;
  }

  #settings() {
    const { plan } = this.stage;
    const { heartbeatInterval, heartbeatLiveness, historyLimit, historyBytes } = plan.settings;
    const { pendingLimit, followerLimit } = plan.settings;
    return {
      heartbeatInterval,
      heartbeatLiveness,
      historyLimit,
      historyBytes,
      pendingLimit,
      pendingBytes: 1_000_000,
      followerLimit,
      isDurable: plan.isStored,
    };
  }

  #handleEvent(
    process: SimProcess,
    event: ReplayPublisherEvent,
    driver: Parameters<typeof exitAfter>[1],
  ): void {
    const reason = 'mode' in event ? `.${event.mode}` : '';
    this.stage.count(`publisher.${event.type}${reason}`);
    if (event.type === 'drained') exitAfter(process, driver);
  }

  #goOn(life: Life): void {
    const { plan } = this.stage;
    life.process.wakeAt(life.process.now() + plan.pace, () => {
      if (this.stage.isPublishing) this.#publishOne(life);
      this.#goOn(life);
    });
  }

  #publishOne(life: Life): void {
    const { plan, truth } = this.stage;
    const { pendingLimit, layout } = plan.settings;
    const { sequence: newest } = life.machine().status();
    if (this.isDraining || life.accepted - newest >= pendingLimit) return;
    const sequence = ++life.accepted;
    const isPlain = !this.stage.isStream && layout === 'plain';
    const topic = isPlain ? 'prices/A' : TOPICS[sequence % TOPICS.length]!;
    const size = sequence % LARGE === 0 ? plan.size : 0;
    const body = [bodyOf({ life: truth.life, sequence, topic }, size)];
    life.call({ type: 'publish', sequence, topic, body });
  }
}

interface AnyDriver {
  call(call: ReplayPublisherCall): void;
  bind(port: string, endpoint: string, done: () => void): void;
}
