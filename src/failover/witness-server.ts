/** The witness: a third process, which says to one server of a pair at a time that it may serve. */
import { ClosedError } from '../core/errors.ts';
import { completeOptions, type Completed } from '../core/options.ts';
import { bindPort } from '../transport/binding.ts';
import { drainAndClose, signal } from '../transport/closing.ts';
import { Driver } from '../transport/driver.ts';
import { checkEndpoint } from '../transport/endpoint.ts';
import { systemEnvironment, type Environment } from '../transport/environment.ts';
import { EventSource } from '../transport/event-source.ts';
import type { VoterInput, VoterOutput } from './commands.ts';
import { openStore, readError, recordError, RecordWriter } from './epoch-file.ts';
import type { WitnessCall, WitnessEvent, WitnessPort } from './failover-events.ts';
import { witnessRules, type EpochStore, type WitnessOptions } from './options.ts';
import { witnessCodec } from './protocol.ts';
import { isFault, witnessRecordsOf } from './records.ts';
import { WitnessMachine } from './witness-machine.ts';

type WitnessDriver = Driver<WitnessPort, VoterInput, VoterOutput, WitnessCall, WitnessEvent>;

/**
 * Serves any number of pairs, each known by its name.
 *
 * ```js
 * const witness = new WitnessServer();
 * await witness.bind('tcp://10.0.0.3:5557');
 * ```
 *
 * It does nothing but promise: a pair goes on without it for as long as its two servers hear each other. If
 * it is started again, its store tells it whom it must not say yes to.
 */
export class WitnessServer extends EventSource<WitnessEvent> {
  readonly #environment: Environment;
  readonly #settings: Completed<typeof witnessRules>;
  readonly #store: EpochStore;
  readonly #storeName: string;
  readonly #writer: RecordWriter;
  readonly #endpoints: string[] = [];
  readonly #drained = signal();
  #driver: WitnessDriver | undefined;
  #binding: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;

  /**
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming the option that is unknown or out of range
   */
  constructor(options?: WitnessOptions, environment: Environment = systemEnvironment()) {
    const settings = completeOptions('WitnessServer', witnessRules, options);
    super(settings.logger, {
      granted: 'info',
      leaseEnded: 'info',
      malformed: 'warn',
      pairRefused: 'warn',
      released: 'info',
      storeFailed: 'warn',
    });
    this.#environment = environment;
    this.#settings = settings;
    const opened = openStore(settings.store, 'witness.epochs');
    this.#store = opened.store;
    this.#storeName = opened.what;
    this.#writer = new RecordWriter(this.#store);
  }

  /** The first endpoint it is bound to, with the real port; undefined before `bind`. */
  get endpoint(): string | undefined {
    return this.#endpoints[0];
  }

  /** All endpoints it is bound to. */
  get endpoints(): readonly string[] {
    return this.#endpoints;
  }

  /**
   * Reads its record and binds to one more endpoint, `tcp://10.0.0.3:5557` or the like. Resolves to the
   * real one.
   * @throws InvalidArgumentError `ERR_INVALID_ENDPOINT`
   * @throws BindError `ERR_ADDRESS_IN_USE`, `ERR_BIND_FAILED`, naming the endpoint
   * @throws StorageError what is wrong with the store, and what to do
   * @throws ClosedError
   */
  async bind(endpoint: string): Promise<string> {
    const checked = checkEndpoint(endpoint, 'bind');
    const bound = this.#binding.then(() => this.#bind(checked));
    this.#binding = bound.catch(() => undefined);
    return await bound;
  }

  /** Promises nothing new; what it has promised it still keeps, in its store. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #bind(endpoint: string): Promise<string> {
    this.#checkOpen();
    this.#driver ??= await this.#begin();
    this.#checkOpen();
    const bound = await bindPort(this.#driver, 'claims', endpoint);
    this.#endpoints.push(bound);
    return bound;
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new ClosedError('this witness');
  }

  async #begin(): Promise<WitnessDriver> {
    const records = witnessRecordsOf(await this.#read());
    if (isFault(records)) throw recordError(this.#storeName, records);
    const { pairLimit, peerQueueBytes } = this.#settings;
    const { transport, clock } = this.#environment;
    return new Driver({
      machine: (outbox) => new WitnessMachine(outbox, { pairLimit }, records),
      codec: witnessCodec,
      kindOf: () => 'router',
      transport,
      clock,
      peerQueueBytes,
      store: this.#writer.write,
      onEvent: (event) => this.#handleEvent(event),
    });
  }

  async #read(): Promise<unknown> {
    try {
      return await this.#store.read();
    } catch (error) {
      throw readError(this.#storeName, error);
    }
  }

  async #close(): Promise<void> {
    await this.#binding;
    const { drainTimeout } = this.#settings;
    if (this.#driver !== undefined) {
      const { clock } = this.#environment;
      await drainAndClose(this.#driver, clock, drainTimeout, this.#drained.promise);
    }
    await this.#writer.settled();
    await this.#store.close();
  }

  #handleEvent(event: WitnessEvent): void {
    if (event.type === 'drained') this.#drained.fire();
    this.announce(event);
  }
}
