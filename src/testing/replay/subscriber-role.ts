/** A subscriber of a simulated run: the real machine, and a user who takes messages at his own pace. */
import { kvSubscriberCodec } from '../../clone/replay/kv-codec.ts';
import { KvSubscriberMachine } from '../../clone/replay/kv-subscriber-machine.ts';
import type {
  ReceivedMessage,
  ReplaySubscriberCall,
  ReplaySubscriberEvent,
  ReplaySubscriberStatus,
} from '../../clone/replay/events.ts';
import type { ReplayStart } from '../../clone/replay/options.ts';
import { streamSubscriberCodec } from '../../clone/replay/stream-codec.ts';
import { StreamSubscriberMachine } from '../../clone/replay/stream-subscriber-machine.ts';
import type { Position } from '../../clone/commands.ts';
import { drive, exitAfter, MachineRole, type EndCall } from '../machine-role.ts';
import type { SimProcess } from '../sim-process.ts';
import type { PlannedSubscriber } from './plan.ts';
import { PUBLISHER, REPLAY, type ReplayStage } from './stage.ts';
import { SubscriberChecker } from './subscriber-checker.ts';

interface Life {
  readonly process: SimProcess;
  readonly status: () => ReplaySubscriberStatus;
  readonly call: (call: ReplaySubscriberCall) => void;
  readonly inbox: ReceivedMessage[];
  isTaking: boolean;
}

interface AnyDriver {
  call(call: ReplaySubscriberCall): void;
  close(done: () => void): void;
}

export class SubscriberRole extends MachineRole {
  declare protected readonly stage: ReplayStage;
  readonly #plan: PlannedSubscriber;
  /** What its user has written down: how far he is. */
  #position: Position | undefined;
  #lives = 0;
  #life!: Life;

  constructor(stage: ReplayStage, name: string, plan: PlannedSubscriber) {
    super(stage, name);
    this.#plan = plan;
    this.start();
  }

  /** For the fault × state matrix. */
  get state(): string {
    return this.status().state === 'live' ? 'live' : 'behind';
  }

  status(): ReplaySubscriberStatus {
    return this.#life.status();
  }

  protected live(process: SimProcess): (call: EndCall) => void {
    const { isStream, world } = this.stage;
    const { from: planned, resumes, topics } = this.#plan;
    const from: ReplayStart = resumes ? (this.#position ?? planned) : planned;
    this.#lives++;
    const settings = {
      ...this.#settings(),
      from,
      topics,
      writer: `${this.name.at(-1)}${String(this.#lives).padStart(7, '0')}`,
      random: world.random,
    };
    const life = isStream ? this.#liveStream(process, settings) : this.#liveKv(process, settings);
    this.#life = life;
    const replay = isStream ? '' : REPLAY;
    process.run(() => life.call({ type: 'connect', endpoint: PUBLISHER, replay }));
    return life.call;
  }

  #liveStream(
    process: SimProcess,
    settings: ConstructorParameters<typeof StreamSubscriberMachine>[1],
  ): Life {
    const { stage } = this;
    let machine!: StreamSubscriberMachine;
    const driver = drive({
      stage,
      process,
      machine: (outbox) => (machine = new StreamSubscriberMachine(outbox, settings)),
      checker: new SubscriberChecker<'server'>(this.name, stage, settings, () => machine),
      codec: streamSubscriberCodec,
      kindOf: () => 'dealer',
      peerQueueBytes: stage.plan.settings.peerQueueBytes,
      onEvent: (event: ReplaySubscriberEvent) => this.#handleEvent(life, event, driver),
    });
    const life = lifeOf(process, () => machine.status(), driver);
    return life;
  }

  #liveKv(
    process: SimProcess,
    settings: ConstructorParameters<typeof KvSubscriberMachine>[1],
  ): Life {
    const { stage } = this;
    let machine!: KvSubscriberMachine;
    const driver = drive({
      stage,
      process,
      machine: (outbox) => (machine = new KvSubscriberMachine(outbox, settings)),
      checker: new SubscriberChecker<'publisher' | 'replay'>(
        this.name,
        stage,
        settings,
        () => machine,
      ),
      codec: kvSubscriberCodec,
      kindOf: (port) => (port === 'publisher' ? 'sub' : 'dealer'),
      peerQueueBytes: stage.plan.settings.peerQueueBytes,
      onEvent: (event: ReplaySubscriberEvent) => this.#handleEvent(life, event, driver),
    });
    const life = lifeOf(process, () => machine.status(), driver);
    return life;
  }

  #settings() {
    const { heartbeatInterval, heartbeatLiveness, window, pollInterval } = this.stage.plan.settings;
    return {
      heartbeatInterval,
      heartbeatLiveness,
      window,
      pollInterval,
      reconnectInterval: 20,
      reconnectLimit: 150,
      replayTimeout: 120,
      replayRetries: 6,
    };
  }

  #handleEvent(life: Life, event: ReplaySubscriberEvent, driver: AnyDriver): void {
    const reason = 'reason' in event && event.type !== 'malformed' ? `.${event.reason}` : '';
    this.stage.count(`subscriber.${event.type}${reason}`);
    if (event.type === 'drained') return exitAfter(life.process, driver);
    if (event.type !== 'message') return;
    life.inbox.push(event);
    if (!life.isTaking) this.#takeSoon(life);
  }

  /** Once all is healed users hurry, or what they have before them would take its time. */
  get #pace(): number {
    return this.stage.isHealed ? 0 : this.#plan.pace;
  }

  #takeSoon(life: Life): void {
    life.isTaking = true;
    life.process.wakeAt(life.process.now() + this.#pace, () => this.#take(life));
  }

  #take(life: Life): void {
    life.isTaking = false;
    const count = this.#pace === 0 ? life.inbox.length : 1;
    let weight = 0;
    for (const { epoch, sequence, weight: one } of life.inbox.splice(0, count)) {
      this.#position = { epoch, sequence };
      weight += one;
    }
    if (life.inbox.length > 0) this.#takeSoon(life);
    life.call({ type: 'consumed', weight });
  }
}

function lifeOf(process: SimProcess, status: Life['status'], driver: AnyDriver): Life {
  return { process, status, call: (call) => driver.call(call), inbox: [], isTaking: false };
}
