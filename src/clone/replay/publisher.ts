/** The replay publisher: numbers its messages and keeps the last of them for whoever missed some. */
import type { StorageBatch } from '../../core/batch.ts';
import { framesOf, type Body } from '../../core/body.ts';
import {
  ClosedError,
  InvalidArgumentError,
  StorageError,
  UnsinkableError,
} from '../../core/errors.ts';
import type { Epoch } from '../../core/election.ts';
import { byteLength } from '../../core/frames.ts';
import type { Logger } from '../../core/logger.ts';
import type { Frames } from '../../core/machine.ts';
import { completeOptions, such, type Completed } from '../../core/options.ts';
import { openStorage, type Storage } from '../../storage/index.ts';
import { bindPort } from '../../transport/binding.ts';
import { drainAndClose, signal } from '../../transport/closing.ts';
import { Driver, type DriverOptions } from '../../transport/driver.ts';
import { checkEndpoint } from '../../transport/endpoint.ts';
import { systemEnvironment, type Environment } from '../../transport/environment.ts';
import { EventSource } from '../../transport/event-source.ts';
import { zeromqTransport } from '../../transport/zeromq.ts';
import type { FollowerInput, Sequence, ServerInput } from '../commands.ts';
import { updateOf } from '../stream/update.ts';
import type { KvPublisherInput, KvPublisherOutput, KvPublisherPort } from './commands.ts';
import type { ReplayPublisherCall, ReplayPublisherEvent, ReplayPublisherStatus } from './events.ts';
import { kvPublisherCodec } from './kv-codec.ts';
import { KvPublisherMachine } from './kv-publisher-machine.ts';
import { isTopic, publisherRules, TOPIC_LIMIT, type ReplayPublisherOptions } from './options.ts';
import { encodeReigns, LIVES_KEY, Recovery } from './recovery.ts';
import { streamPublisherCodec } from './stream-codec.ts';
import { StreamPublisherMachine, type StreamPublisherPort } from './stream-publisher-machine.ts';

/** What a publisher tells its listeners. */
export type ReplayPublisherNotice = ReplayPublisherEvent;

export interface ReplayBindOptions {
  /** Of `kv-events`: where subscribers ask for what they missed. Default: nowhere. */
  readonly replay?: string | undefined;
}

const BIND_RULES = {
  replay: such<string | undefined>(undefined, 'an endpoint', (value) => typeof value === 'string'),
};

/** What makes the records in a storage a publisher's. */
const FORMAT = { name: 'replay', version: 1 };

/** Lives that a store remembers: who knows an older one is told of a restart. */
const LIVES = 64;

const LEVELS: Partial<Record<ReplayPublisherNotice['type'], keyof Logger>> = {
  malformed: 'warn',
  replayRefused: 'warn',
  storeFailed: 'error',
};

interface PublisherMachine {
  readonly accepted: Sequence;
  status(): ReplayPublisherStatus;
}

type Port = StreamPublisherPort | KvPublisherPort;

interface AnyDriver {
  call(call: ReplayPublisherCall): void;
  bind: Driver<Port, never, never, never, never>['bind'];
  close(done: () => void): void;
}

/**
 * Publishes messages that nobody has to miss: it numbers them, and keeps the last of them.
 *
 * ```js
 * const publisher = new ReplayPublisher({ historyLimit: 10_000 });
 * await publisher.bind('tcp://127.0.0.1:5556');
 * publisher.publish('prices/ACME', '12.50');
 * ```
 *
 * A subscriber that was away, or is slow, gets from the history what it missed, and is told what that has no
 * more. With a `store` numbers and history survive this process; otherwise they begin anew, which subscribers
 * are told.
 */
export class ReplayPublisher extends EventSource<ReplayPublisherNotice> {
  readonly #environment: Environment;
  readonly #options: Completed<typeof publisherRules>;
  readonly #endpoints: string[] = [];
  /** Where it answers, as that was named: also if the other endpoint could not be bound then. */
  readonly #replays = new Set<string>();
  readonly #drained = signal();
  /** Accepted, and not public: weights by number. */
  readonly #pending = new Map<Sequence, number>();
  #pendingBytes = 0;
  #accepted: Sequence = 0;
  /** Of a plain publisher: the one topic it has. */
  #topic: string | undefined;
  #replayEndpoint: string | undefined;
  /** Undefined until the store is open. */
  #driver: AnyDriver | undefined;
  #machine: PublisherMachine | undefined;
  #storage: Storage | undefined;
  #opening: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  /**
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming the option that is unknown or out of range
   */
  constructor(options?: ReplayPublisherOptions, environment?: Environment) {
    const completed = completeOptions('ReplayPublisher', publisherRules, options);
    super(completed.logger, LEVELS);
    this.#options = completed;
    this.#environment = environment ?? environmentFor(completed);
    if (completed.store === undefined) this.#begin(new Recovery(), Date.now());
  }

  /** The first endpoint it is bound to, with the real port; undefined before `bind`. */
  get endpoint(): string | undefined {
    return this.#endpoints[0];
  }

  /** Where subscribers ask for what they missed, with the real port; undefined if there is no such place. */
  get replayEndpoint(): string | undefined {
    return this.#replayEndpoint;
  }

  /**
   * Opens the store at the first call, and binds to one more endpoint: `tcp://127.0.0.1:5556`,
   * `tcp://127.0.0.1:*` for any free port, `ipc:///path`. Resolves to the real one.
   * @throws InvalidArgumentError `ERR_INVALID_ENDPOINT`; `ERR_INVALID_OPTION` for a replay endpoint where the
   *   protocol has none
   * @throws BindError `ERR_ADDRESS_IN_USE`, `ERR_BIND_FAILED`, naming the endpoint
   * @throws StorageError `ERR_STORAGE_IN_USE`, `ERR_STORAGE_CORRUPT` and others, each saying what to do
   * @throws ClosedError
   */
  async bind(endpoint: string, options?: ReplayBindOptions): Promise<string> {
    const { replay } = completeOptions('bind', BIND_RULES, options);
    const checked = checkEndpoint(endpoint, 'bind');
    const isStream = this.#options.protocol === 'stream';
    if (replay !== undefined && isStream) {
      const message = "bind: option 'replay' is for the protocol 'kv-events' alone";
      throw new InvalidArgumentError('ERR_INVALID_OPTION', message);
    }
    const asked = replay === undefined ? undefined : checkEndpoint(replay, 'bind');
    this.#checkOpen();
    const driver = await this.#open();
    this.#checkOpen();
    if (asked !== undefined && !this.#replays.has(asked)) {
      this.#replayEndpoint = await bindPort(driver, 'replay', asked);
      this.#replays.add(asked);
    }
    const bound = await bindPort(driver, isStream ? 'peers' : 'publisher', checked);
    this.#endpoints.push(bound);
    return bound;
  }

  /**
   * Publishes a message and answers with its number. It is on its way when this returns; with a store, once
   * it is durable, which the event `published` says.
   * @param topic any text of at most 255 bytes
   * @param body text, bytes, or an array of them (one frame each; `kv-events` has one frame only). Bytes are
   *   not copied.
   * @throws InvalidArgumentError `ERR_INVALID_ARGUMENT` for a bad topic, `ERR_INVALID_BODY` for a bad body,
   *   or one that is larger than the history may be
   * @throws UnsinkableError `ERR_QUEUE_FULL` while too much waits for the store
   * @throws StorageError `ERR_STORAGE_FAILED` once the store is broken
   * @throws ClosedError
   */
  publish(topic: string, body: Body): Sequence {
    this.#checkTopic(topic);
    const frames = this.#checkBody(body);
    this.#checkOpen();
    if (this.#driver === undefined) {
      const message = 'its store is not open yet: await bind(endpoint) first';
      throw new UnsinkableError('ERR_NOT_CONNECTED', message);
    }
    this.#checkRoom();
    this.#topic ??= topic;
    const sequence = ++this.#accepted;
    if (this.#storage !== undefined) {
      // As the machine counts: else it might refuse what has its number already, and all that follows.
      const { weight } = updateOf({ sequence, kind: 'set', key: topic, value: frames });
      this.#pending.set(sequence, weight);
      this.#pendingBytes += weight;
    }
    this.#driver.call({ type: 'publish', sequence, topic, body: frames });
    return sequence;
  }

  /** What it has, and who follows. */
  status(): ReplayPublisherStatus {
    return this.#machine?.status() ?? UNOPENED;
  }

  /**
   * Takes nothing new, brings out what waits for the store within `drainTimeout`, and frees all resources.
   * Subscribers come back when another publisher is bound to the endpoint.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new ClosedError('this publisher');
  }

  async #close(): Promise<void> {
    // A store that does not open is reported by `bind`.
    await this.#opening?.catch(() => undefined);
    const driver = this.#driver;
    if (driver !== undefined) {
      const { clock } = this.#environment;
      await drainAndClose(driver, clock, this.#options.drainTimeout, this.#drained.promise);
    }
    const storage = this.#storage;
    if (storage !== undefined) await new Promise<void>((resolve) => storage.close(resolve));
  }

  async #open(): Promise<AnyDriver> {
    const { store } = this.#options;
    if (store !== undefined) {
      const opening = (this.#opening ??= this.#openStore(store));
      try {
        await opening;
      } catch (error) {
        // It may be tried again.
        if (this.#opening === opening) this.#opening = undefined;
        throw error;
      }
    }
    return this.#driver!;
  }

  /** Finds what a former life left, and takes down that another one begins, before anybody hears of it. */
  async #openStore(store: string): Promise<void> {
    const recovery = new Recovery();
    const each = (key: string, frames: Frames): void => recovery.add(key, frames);
    const storage = await openStorage(store, { format: FORMAT }, { each });
    for (const key of storage.status().quarantined) recovery.unreadable(key);
    // Higher than any before, also if there is no store the next time.
    const epoch = Math.max(recovery.epoch + 1, Date.now());
    const life = { epoch, base: recovery.newest ?? 0 };
    const reigns = [...recovery.reigns, life].slice(-LIVES);
    const batch = { puts: [{ key: LIVES_KEY, value: encodeReigns(reigns) }], deletes: [] };
    try {
      await new Promise<void>((resolve, reject) => {
        storage.write(batch, (error) => (error === undefined ? resolve() : reject(error)));
      });
    } catch (error) {
      // Otherwise nobody could open it again.
      await new Promise<void>((resolve) => storage.close(resolve));
      throw error;
    }
    this.#storage = storage;
    this.#topic = recovery.topic;
    this.#begin(recovery, epoch);
  }

  #begin(recovery: Recovery, epoch: Epoch): void {
    const settings = { ...this.#options, isDurable: this.#storage !== undefined, epoch };
    if (this.#options.protocol === 'stream') this.#beginStream(settings, recovery);
    else this.#beginKvEvents(settings, recovery);
    this.#accepted = this.#machine!.accepted;
  }

  #beginStream(
    settings: ConstructorParameters<typeof StreamPublisherMachine>[1],
    recovery: Recovery,
  ): void {
    this.#driver = new Driver<
      StreamPublisherPort,
      ServerInput,
      FollowerInput,
      ReplayPublisherCall,
      ReplayPublisherEvent
    >({
      ...this.#surroundings(),
      machine: (outbox) => {
        const machine = new StreamPublisherMachine(outbox, settings, recovery);
        this.#machine = machine;
        return machine;
      },
      codec: streamPublisherCodec,
      kindOf: () => 'router',
    });
  }

  #beginKvEvents(
    settings: ConstructorParameters<typeof KvPublisherMachine>[1],
    recovery: Recovery,
  ): void {
    this.#driver = new Driver<
      KvPublisherPort,
      KvPublisherInput,
      KvPublisherOutput,
      ReplayPublisherCall,
      ReplayPublisherEvent
    >({
      ...this.#surroundings(),
      machine: (outbox) => {
        const machine = new KvPublisherMachine(outbox, settings, recovery);
        this.#machine = machine;
        return machine;
      },
      codec: kvPublisherCodec(this.#options.replayLayout),
      kindOf: (port) => (port === 'publisher' ? 'pub' : 'router'),
    });
  }

  #surroundings(): Surroundings {
    const { clock, transport } = this.#environment;
    const storage = this.#storage;
    return {
      transport,
      clock,
      peerQueueBytes: this.#options.peerQueueBytes,
      onEvent: (event) => this.#handleEvent(event),
      ...(storage === undefined
        ? {}
        : {
            // The machine stores nothing else.
            store: (batch, done) => storage.write(batch as StorageBatch, done),
          }),
    };
  }

  #handleEvent(event: ReplayPublisherEvent): void {
    if (event.type === 'published' || event.type === 'publishRefused') {
      this.#pendingBytes -= this.#pending.get(event.sequence) ?? 0;
      this.#pending.delete(event.sequence);
    } else if (event.type === 'drained') this.#drained.fire();
    this.announce(event);
  }

  #checkTopic(topic: unknown): asserts topic is string {
    if (!isTopic(topic)) {
      const message = `publish: a topic is a text of at most ${TOPIC_LIMIT} bytes`;
      throw new InvalidArgumentError('ERR_INVALID_ARGUMENT', message);
    }
    const { protocol, replayLayout } = this.#options;
    const hasOne = protocol === 'kv-events' && replayLayout === 'plain';
    if (!hasOne || this.#topic === undefined || this.#topic === topic) return;
    const message = `publish: with the replay layout 'plain' all messages have one topic, here '${this.#topic}', as answers do not say it`;
    throw new InvalidArgumentError('ERR_INVALID_ARGUMENT', message);
  }

  #checkBody(body: unknown): Frames {
    const frames = framesOf(body);
    const { protocol, historyBytes } = this.#options;
    if (protocol === 'kv-events' && frames.length !== 1) {
      const message = `publish: a message of 'kv-events' has one frame, not ${frames.length}`;
      throw new InvalidArgumentError('ERR_INVALID_BODY', message);
    }
    const bytes = byteLength(frames);
    if (bytes <= historyBytes) return frames;
    const message = `publish: ${bytes} bytes are more than the history may have ('historyBytes': ${historyBytes})`;
    throw new InvalidArgumentError('ERR_INVALID_BODY', message);
  }

  #checkRoom(): void {
    if (this.#storage?.state === 'failed') {
      const message = 'publish: the store is broken: close this publisher and open another on it';
      throw new StorageError('ERR_STORAGE_FAILED', message);
    }
    const { pendingLimit, pendingBytes } = this.#options;
    if (this.#pending.size < pendingLimit && this.#pendingBytes < pendingBytes) return;
    const message = `publish: ${this.#pending.size} messages wait for the store: try again later`;
    throw new UnsinkableError('ERR_QUEUE_FULL', message);
  }
}

type Surroundings = Omit<
  DriverOptions<never, never, never, never, ReplayPublisherEvent>,
  'machine' | 'codec' | 'kindOf'
>;

const UNOPENED: ReplayPublisherStatus = {
  state: 'publishing',
  epoch: 0,
  sequence: 0,
  history: { messages: 0, bytes: 0, from: 0 },
  pending: 0,
  followers: [],
  events: {},
};

/** PUB drops what is more than its high-water mark: it has to be as high as a burst is long. */
function environmentFor({
  protocol,
  highWaterMark,
}: Completed<typeof publisherRules>): Environment {
  const system = systemEnvironment();
  if (protocol === 'stream') return system;
  return { ...system, transport: zeromqTransport({ sendHighWaterMark: highWaterMark }) };
}
