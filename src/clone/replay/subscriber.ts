/** The replay subscriber: an async iterable of messages without holes, or with the word where one is. */
import { ClosedError, InvalidArgumentError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { completeOptions, such, type Completed } from '../../core/options.ts';
import { drainAndClose, signal } from '../../transport/closing.ts';
import { Driver } from '../../transport/driver.ts';
import { checkEndpoint } from '../../transport/endpoint.ts';
import { systemEnvironment, type Environment } from '../../transport/environment.ts';
import { EventSource } from '../../transport/event-source.ts';
import { Readiness } from '../../transport/readiness.ts';
import type { FollowerInput, FollowerOutput, Position } from '../commands.ts';
import type { KvSubscriberInput, KvSubscriberOutput, KvSubscriberPort } from './commands.ts';
import type {
  ReceivedMessage,
  ReplaySubscriberCall,
  ReplaySubscriberEvent,
  ReplaySubscriberStatus,
} from './events.ts';
import { Inbox } from './inbox.ts';
import { kvSubscriberCodec } from './kv-codec.ts';
import { KvSubscriberMachine } from './kv-subscriber-machine.ts';
import type { ReplayMessage } from './message.ts';
import { subscriberRules, type ReplaySubscriberOptions } from './options.ts';
import { streamSubscriberCodec } from './stream-codec.ts';
import { StreamSubscriberMachine, type StreamSubscriberPort } from './stream-subscriber-machine.ts';

/** What a subscriber tells its listeners; messages come by iteration alone. */
export type ReplaySubscriberNotice =
  | Exclude<ReplaySubscriberEvent, ReceivedMessage>
  /** A socket could not be opened: too many are open in this process. It is tried again. */
  | { readonly type: 'socketFailed'; readonly reason: string };

export interface ReplayConnectOptions {
  /** Of `kv-events`: whom to ask for what was missed. Default: nobody, and all that is missed is lost. */
  readonly replay?: string | undefined;
}

const CONNECT_RULES = {
  replay: such<string | undefined>(undefined, 'an endpoint', (value) => typeof value === 'string'),
};

/** The machine is told what was taken when it is this part of the window. */
const SHARE = 16;

const LEVELS: Partial<Record<ReplaySubscriberNotice['type'], keyof Logger>> = {
  connected: 'info',
  disconnected: 'warn',
  gapDetected: 'info',
  historyLost: 'error',
  malformed: 'warn',
  publisherRestarted: 'warn',
  replayFailed: 'warn',
  socketFailed: 'error',
};

interface AnyDriver {
  call(call: ReplaySubscriberCall): void;
  close(done: () => void): void;
}

/**
 * Gets every message of a publisher in order, however often a link breaks.
 *
 * ```js
 * const subscriber = new ReplaySubscriber({ topics: ['prices/'] });
 * subscriber.connect('tcp://127.0.0.1:5556');
 * for await (const { topic, sequence, body } of subscriber) …
 * ```
 *
 * What was missed comes from the publisher's history. What that has no more is told: as the event
 * `historyLost`, and as `lost` of the message after it. Who takes messages slowly delays nobody else.
 */
export class ReplaySubscriber
  extends EventSource<ReplaySubscriberNotice>
  implements AsyncIterable<ReplayMessage, undefined>
{
  readonly #environment: Environment;
  readonly #options: Completed<typeof subscriberRules>;
  readonly #driver: AnyDriver;
  readonly #inbox = new Inbox((weight) => this.#take(weight));
  readonly #readiness: Readiness;
  readonly #drained = signal();
  readonly #endpoints: string[] = [];
  #machine!: { status(): ReplaySubscriberStatus };
  /** Taken, and not told yet. */
  #taken = 0;
  #closing: Promise<void> | undefined;

  /**
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming the option that is unknown or out of range
   */
  constructor(options?: ReplaySubscriberOptions, environment: Environment = systemEnvironment()) {
    const completed = completeOptions('ReplaySubscriber', subscriberRules, options);
    super(completed.logger, LEVELS);
    this.#environment = environment;
    this.#options = completed;
    const protocol = `the protocol '${completed.protocol}'`;
    this.#readiness = new Readiness('this subscriber', ['publisher', protocol], environment.clock);
    this.#driver = completed.protocol === 'stream' ? this.#streamDriver() : this.#kvEventsDriver();
  }

  /**
   * Connects to one publisher. For several, have several subscribers: their numbers are not each other's.
   * @throws InvalidArgumentError `ERR_INVALID_ENDPOINT`; `ERR_INVALID_ARGUMENT` for a second publisher;
   *   `ERR_INVALID_OPTION` for a replay endpoint where the protocol has none
   * @throws ClosedError
   */
  connect(endpoint: string, options?: ReplayConnectOptions): void {
    const { replay } = completeOptions('connect', CONNECT_RULES, options);
    if (this.#closing !== undefined) throw new ClosedError('this subscriber');
    const checked = checkEndpoint(endpoint, 'connect');
    if (replay !== undefined && this.#options.protocol === 'stream') {
      const message = "connect: option 'replay' is for the protocol 'kv-events' alone";
      throw new InvalidArgumentError('ERR_INVALID_OPTION', message);
    }
    const asked = replay === undefined ? '' : checkEndpoint(replay, 'connect');
    if (this.#endpoints.length > 0) {
      const message = `it is connected to ${this.#endpoints[0]}: have one subscriber for each publisher`;
      throw new InvalidArgumentError('ERR_INVALID_ARGUMENT', message);
    }
    this.#endpoints.push(checked);
    this.#driver.call({ type: 'connect', endpoint: checked, replay: asked });
  }

  /**
   * Resolves when the publisher is there: with `stream` whatever is published from then on comes; with
   * `kv-events` it was heard for the first time, which may be its first message.
   * @param options.timeout milliseconds, default 10,000
   * @throws NotReadyError `ERR_NOT_READY` with a hint, when it was not in time
   * @throws ClosedError also when it is closed meanwhile
   */
  ready(options?: { readonly timeout?: number }): Promise<void> {
    return this.#readiness.wait(this.#endpoints, options);
  }

  /**
   * Up to here its user has got everything, or was told what is lost: a later subscriber goes on from here
   * with the option `from`. It counts a message as soon as the iteration has given it out.
   */
  get position(): Position {
    const { first } = this.#inbox;
    if (first === undefined) return this.#machine.status().position;
    return { epoch: first.epoch, sequence: (first.lost?.from ?? first.sequence) - 1 };
  }

  status(): ReplaySubscriberStatus {
    const { position } = this;
    return { ...this.#machine.status(), position, waiting: this.#inbox.weight };
  }

  /**
   * The messages from where the last iteration stopped. It ends when the subscriber is closed and all that
   * had come is taken; leaving it early closes nothing.
   */
  [Symbol.asyncIterator](): AsyncIterator<ReplayMessage, undefined> {
    return {
      next: () => this.#inbox.next(),
      return: () => Promise.resolve({ done: true, value: undefined }),
    };
  }

  /** Leaves the publisher and frees all resources. What has come can still be taken. */
  close(): Promise<void> {
    this.#readiness.close();
    const { clock } = this.#environment;
    const { drainTimeout } = this.#options;
    this.#closing ??= drainAndClose(this.#driver, clock, drainTimeout, this.#drained.promise);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #streamDriver(): AnyDriver {
    const { clock, random, transport } = this.#environment;
    const writer = Array.from({ length: 8 }, () => String.fromCharCode(256 * random())).join('');
    const settings = { ...this.#options, random, writer };
    return new Driver<
      StreamSubscriberPort,
      FollowerInput,
      FollowerOutput,
      ReplaySubscriberCall,
      ReplaySubscriberEvent
    >({
      machine: (outbox) => {
        const machine = new StreamSubscriberMachine(outbox, settings);
        this.#machine = machine;
        return machine;
      },
      codec: streamSubscriberCodec,
      kindOf: () => 'dealer',
      transport,
      clock,
      peerQueueBytes: this.#options.peerQueueBytes,
      onEvent: (event) => this.#handleEvent(event),
      onSocketError: (error) => this.#tellSocket(error),
    });
  }

  #kvEventsDriver(): AnyDriver {
    const { clock, random, transport } = this.#environment;
    const settings = { ...this.#options, random };
    return new Driver<
      KvSubscriberPort,
      KvSubscriberInput,
      KvSubscriberOutput,
      ReplaySubscriberCall,
      ReplaySubscriberEvent
    >({
      machine: (outbox) => {
        const machine = new KvSubscriberMachine(outbox, settings);
        this.#machine = machine;
        return machine;
      },
      codec: kvSubscriberCodec,
      kindOf: (port) => (port === 'publisher' ? 'sub' : 'dealer'),
      transport,
      clock,
      peerQueueBytes: this.#options.peerQueueBytes,
      onEvent: (event) => this.#handleEvent(event),
      onSocketError: (error) => this.#tellSocket(error),
    });
  }

  #handleEvent(event: ReplaySubscriberEvent): void {
    if (event.type === 'message') return this.#inbox.push(event);
    if (event.type === 'connected') this.#readiness.answered();
    if (event.type === 'drained') {
      this.#inbox.close();
      this.#drained.fire();
    }
    this.announce(event);
  }

  #tellSocket(error: unknown): void {
    this.announce({ type: 'socketFailed', reason: String(error) });
  }

  /** Told now and then: a call for each message would cost more than the message. */
  #take(weight: number): void {
    this.#taken += weight;
    if (this.#taken * SHARE < this.#options.window) return;
    const taken = this.#taken;
    this.#taken = 0;
    this.#driver.call({ type: 'consumed', weight: taken });
  }
}
