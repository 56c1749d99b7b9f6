/** A client of a simulated run: the real machine, and a caller that keeps account of its calls. */
import { sizeOf } from '../../core/frames.ts';
import { clientCodec } from '../../majordomo/wire/protocol.ts';
import {
  ClientMachine,
  type ClientCall,
  type ClientEvent,
  type ClientPort,
  type ClientSettings,
  type RequestCall,
  type RequestId,
} from '../../majordomo/client/client-machine.ts';
import type { ClientInput, ClientOutput } from '../../majordomo/wire/commands.ts';
import type { Driver } from '../../transport/driver.ts';
import { drive, exitAfter, MachineRole, type EndCall } from '../machine-role.ts';
import type { SimProcess } from '../sim-process.ts';
import { ClientChecker } from './client-checker.ts';
import { SERVICES, type PlannedClient, type PlannedOperation } from './plan.ts';
import type { MajordomoStage } from './stage.ts';
import { encodeWork, type Work } from './work.ts';

type ClientDriver = Driver<ClientPort, ClientInput, ClientOutput, ClientCall, ClientEvent>;

/** Whoever retries so often is impatient over express, too. */
const IMPATIENT = 4;

/** What is asked under a key, which is the same whoever asks. */
const KEYED = ['reply', 'parts', 'echo'] as const;

export class ClientRole extends MachineRole {
  readonly #stage: MajordomoStage;
  readonly #planned: PlannedClient;
  readonly #watch: () => ClientChecker;
  #driver!: ClientDriver;
  #checker!: ClientChecker;
  #machine!: ClientMachine;
  #incarnation = 0;
  #nextId = 0;
  /** Sizes of the parts that the readers of slow streams have not taken. */
  #unread = new Map<RequestId, number[]>();

  /** @param watch makes what watches one incarnation */
  constructor(
    stage: MajordomoStage,
    name: string,
    planned: PlannedClient,
    watch: () => ClientChecker = () => new ClientChecker(name, stage),
  ) {
    super(stage, name);
    this.#stage = stage;
    this.#planned = planned;
    this.#watch = watch;
    this.start();
  }

  get machine(): ClientMachine {
    return this.#machine;
  }

  /** The calls of the present incarnation: those of a crashed one have nobody to answer to. */
  get checker(): ClientChecker {
    return this.#checker;
  }

  get state(): string {
    return this.#machine.waiting > 0
      ? 'queued'
      : this.#machine.outstanding > 0
        ? 'inFlight'
        : 'idle';
  }

  protected live(process: SimProcess): (call: EndCall) => void {
    const stage = this.#stage;
    this.#checker = this.#watch();
    this.#unread = new Map();
    this.#incarnation++;
    const driver: ClientDriver = drive<
      ClientPort,
      ClientInput,
      ClientOutput,
      ClientCall,
      ClientEvent
    >({
      stage,
      process,
      machine: (outbox) => (this.#machine = new ClientMachine(outbox, this.#settings())),
      checker: this.#checker,
      codec: clientCodec,
      kindOf: () => 'dealer',
      peerQueueBytes: stage.plan.settings.peerQueueBytes,
      onEvent: (event) => {
        this.#count(event);
        if (event.type === 'partial') this.#read(process, driver, event);
        if (event.type === 'drained') exitAfter(process, driver);
      },
    });
    this.#driver = driver;
    process.run(() => driver.call({ type: 'connect', endpoints: stage.endpoints }));
    return (call) => driver.call(call);
  }

  /** Makes the planned call, if the process is there. */
  issue(planned: PlannedOperation): void {
    const operation = this.#feasible(planned);
    const { process } = this;
    const driver = this.#driver;
    const checker = this.#checker;
    if (process.isOver) return;
    process.run(() => {
      const id = this.#nextId++;
      const work = this.#workOf(id, operation);
      // Stock MDP has no word for it.
      if (this.#planned.protocol === 'express') {
        this.#stage.timeouts.set(work.id, operation.timeout);
      }
      checker.issued(process.now(), id, operation, work);
      driver.call({ ...this.#callFor(id, operation), body: encodeWork(work) });
      if (operation.cancelAfter === undefined) return;
      const cancelAt = process.now() + operation.cancelAfter;
      process.wakeAt(cancelAt, () => driver.call({ type: 'cancel', id, reason: 'planned' }));
    });
  }

  #settings(): ClientSettings {
    const { world, plan } = this.#stage;
    const { lanes, clientQueueLimit, inFlightLimit, streamWindow, replyBufferBytes } =
      plan.settings;
    const { protocol, heartbeatInterval, heartbeatLiveness } = this.#planned;
    return {
      protocol,
      heartbeatInterval,
      heartbeatLiveness,
      lanes,
      inFlightLimit,
      queueLimit: clientQueueLimit,
      queueBytes: 10_000_000,
      replyBufferBytes,
      streamWindow,
      backoff: 20,
      backoffLimit: 200,
      noticeGrace: 60,
      random: world.random,
    };
  }

  get #isStock(): boolean {
    const { protocol } = this.#planned;
    return protocol === 'mdp0.1' || protocol === 'mdp0.2';
  }

  /** What of an operation this client can ask for. */
  #feasible(operation: PlannedOperation): PlannedOperation {
    // Plain MDP promises nothing; that it is refused is seen now and then.
    const mayPromise = !this.#isStock || operation.retries === 0;
    const key = mayPromise ? operation.key : undefined;
    const broadcast = mayPromise && operation.broadcast && key === undefined;
    const isWhole = key !== undefined || broadcast || this.#planned.protocol === 'mdp0.1';
    const streaming = operation.streaming && !isWhole;
    return {
      ...operation,
      key,
      broadcast,
      streaming,
      failFast: mayPromise && operation.failFast,
    };
  }

  #callFor(id: RequestId, operation: PlannedOperation): RequestCall {
    const { timeout, retries, priority, failFast, broadcast, key, streaming } = operation;
    const { protocol } = this.#planned;
    return {
      type: 'request',
      id,
      service: SERVICES[operation.service]!,
      body: [],
      dialect: protocol === 'mdp0.1' || (protocol !== 'mdp0.2' && !streaming) ? 'mdp0.1' : 'mdp0.2',
      streaming,
      timeout,
      attemptTimeout: retries === IMPATIENT ? timeout / (retries + 1) : undefined,
      retries,
      priority,
      key: key === undefined ? undefined : `key-${key}`,
      failFast: failFast ? true : undefined,
      broadcast: broadcast ? true : undefined,
    };
  }

  #workOf(number: RequestId, operation: PlannedOperation): Work {
    const { key, service, behaviour, work: duration, size } = operation;
    const id = `${this.name}.${this.#incarnation}.${number}`;
    if (key === undefined) return { id, name: id, behaviour, duration, size };
    const name = `key-${service}-${key}`;
    const { keyedDurations } = this.#stage;
    const ofKey = keyedDurations[key % keyedDurations.length]!;
    return { id, name, behaviour: KEYED[key % KEYED.length]!, duration: ofKey, size: 100 };
  }

  #count(event: ClientEvent): void {
    this.#stage.count(`client.${event.type}`);
    if (event.type === 'failed') this.#stage.count(`client.${event.code}`);
    if (event.type === 'failed' && event.retryAfter !== undefined) {
      this.#stage.count('client.retryAfter');
    }
    if (event.type === 'brokerLost') this.#stage.count(`client.brokerLost.${event.reason}`);
  }

  /** The reader of a stream takes one part after the other, in its own time. */
  #read(
    process: SimProcess,
    driver: ClientDriver,
    { id, body }: Extract<ClientEvent, { type: 'partial' }>,
  ): void {
    const { readPace = 0 } = this.#checker.calls.get(id)?.operation ?? {};
    const bytes = sizeOf(body);
    if (readPace === 0) return driver.call({ type: 'taken', id, bytes });
    const unread = this.#unread.get(id) ?? [];
    this.#unread.set(id, unread);
    unread.push(bytes);
    if (unread.length > 1) return;
    const take = (): void => {
      process.wakeAt(process.now() + readPace, () => {
        const taken = unread.shift()!;
        if (unread.length > 0) take();
        driver.call({ type: 'taken', id, bytes: taken });
      });
    };
    take();
  }
}
