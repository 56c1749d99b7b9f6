/** The Clone client: a replica of a server's map, and writes to it as promises. */
import { CloneError, ClosedError, NotReadyError, UnsinkableError } from '../../core/errors.ts';
import type { Instant } from '../../core/machine.ts';
import { completeOptions, type Completed } from '../../core/options.ts';
import { drainAndClose, signal as closingSignal } from '../../transport/closing.ts';
import { systemEnvironment, type Environment } from '../../transport/environment.ts';
import { EventSource } from '../../transport/event-source.ts';
import { SignalWatch } from '../../transport/signal-watch.ts';
import type { ClientCall, CloneClientEvent, CloneClientStatus } from '../client-events.ts';
import type { Position } from '../commands.ts';
import { isUnder } from '../key.ts';
import { decodeValue, encodeValue } from '../values.ts';
import { checkChange, checkKey, checkSubtree, checkWithin } from './arguments.ts';
import { Conditions } from './conditions.ts';
import { checkConnect, makeDriver, type ClientDriver, type ReplicaMachine } from './drivers.ts';
import type { CloneWrite } from './outcomes.ts';
import {
  cloneClientRules,
  deleteRules,
  setRules,
  synchronisedRules,
  updateRules,
  watchRules,
  writeRules,
  type CloneClientShellOptions,
  type CloneDeleteOptions,
  type CloneSetOptions,
  type CloneSynchronisedOptions,
  type CloneUpdateOptions,
  type CloneWatchOptions,
  type CloneWriteOptions,
} from './shell-options.ts';
import { MapView } from './view.ts';
import { Watch } from './watch.ts';
import { PromisedWrites } from './writes.ts';

/** What a client tells; changes of the map are told by `watch`. */
export type CloneEvent =
  | Exclude<CloneClientEvent, { readonly type: 'changed' | 'written' | 'drained' }>
  /** A socket could not be opened: too many are open in this process. It is tried again. */
  | { readonly type: 'socketFailed'; readonly reason: string };

type Write = Pick<Extract<ClientCall, { readonly type: 'write' }>, 'kind' | 'key'> & {
  readonly value?: Uint8Array;
  readonly ttl?: number | undefined;
  readonly ifMatch?: number | undefined;
};

/** Milliseconds after which a conflicting update looks again, if the replica shows nothing new. */
const CONFLICT_PAUSE = 50;

/** The client, whatever its values are. What it is for, and what its values are, says `typed-client.ts`. */
export class CloneClient<Value = Uint8Array>
  extends EventSource<CloneEvent>
  implements ReadonlyMap<string, Value>
{
  readonly #environment: Environment;
  readonly #options: Completed<typeof cloneClientRules>;
  readonly #machine: ReplicaMachine;
  readonly #driver: ClientDriver;
  readonly #view: MapView<Value>;
  readonly #writes = new PromisedWrites((token) => this.#driver.call({ type: 'abandon', token }));
  readonly #watches = new Set<Watch<Value>>();
  readonly #watchSignals = new SignalWatch<Watch<Value>>((watch) => watch.abort());
  readonly #conditions: Conditions;
  readonly #endpoints: string[] = [];
  readonly #drained = closingSignal();
  #isSynchronised = false;
  /** Events `changed` so far: others may be on their way, of what the map shows already. */
  #changesHeard = 0;
  #closing: Promise<void> | undefined;

  /**
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming the option that is unknown or out of range
   */
  constructor(options?: CloneClientShellOptions, environment: Environment = systemEnvironment()) {
    const completed = completeOptions('CloneClient', cloneClientRules, options);
    super(completed.logger, {
      connected: 'info',
      disconnected: 'warn',
      failedOver: 'warn',
      malformed: 'warn',
      snapshotRefused: 'warn',
      socketFailed: 'error',
      synchronised: 'debug',
      unsynchronised: 'info',
    });
    this.#environment = environment;
    this.#options = completed;
    this.#conditions = new Conditions(environment.clock);
    const { driver, machine } = makeDriver(completed, environment, {
      onEvent: (event) => this.#handleEvent(event),
      onSocketError: (error) => this.announce({ type: 'socketFailed', reason: String(error) }),
    });
    this.#driver = driver;
    this.#machine = machine;
    this.#view = this.#viewOf(completed.subtree);
  }

  // The link

  /**
   * Starts using a server. Of several, which are one pair, whoever is active is used.
   * @throws InvalidArgumentError `ERR_INVALID_ENDPOINT`
   * @throws ClosedError
   */
  connect(endpoints: string | readonly string[]): void {
    this.#checkOpen();
    const checked = checkConnect(endpoints, this.#options.protocol);
    this.#endpoints.push(...checked);
    this.#driver.call({ type: 'connect', endpoints: checked });
  }

  /**
   * Resolves when the map equals the server's, by its digest. That it did so may be over again at once: the
   * event `unsynchronised` tells.
   * @throws NotReadyError `ERR_NOT_READY` with a hint, when it was not in time
   * @throws CloneError `ERR_CANCELLED` when its signal aborts
   * @throws ClosedError also when it is closed meanwhile
   */
  async synchronised(options?: CloneSynchronisedOptions): Promise<void> {
    const { timeout, signal } = completeOptions('synchronised', synchronisedRules, options);
    this.#checkOpen();
    if (this.#endpoints.length === 0) throw this.#notReady(timeout);
    await this.#conditions.wait({
      isMet: () => this.#isSynchronised,
      deadline: this.#now + timeout,
      late: () => this.#notReady(timeout),
      signal,
      aborted: (cause) => this.#cancelled(this.#options.subtree, cause),
    });
  }

  /** What is shown is that of a server, under this epoch, after this sequence; both 0 before the first. */
  get at(): Position {
    return this.#machine.status().position;
  }

  /** What it is doing, and what it has seen since it began. */
  status(): CloneClientStatus {
    return this.#machine.status();
  }

  // Reading

  /** How many keys there are. */
  get size(): number {
    return this.#view.size;
  }

  /**
   * The value of a key; undefined if there is none, or if it is not followed. With codec `bytes` it is a view
   * on what is stored: do not change it.
   * @throws SyntaxError if somebody wrote it with another codec
   */
  get(key: string): Value | undefined {
    return this.#view.get(key);
  }

  has(key: string): boolean {
    return this.#view.has(key);
  }

  /** The revision of a key, for `ifMatch`; 0 if there is no such key. */
  revision(key: string): number {
    return this.#machine.replica.get(key)?.revision ?? 0;
  }

  keys(): MapIterator<string> {
    return this.#view.keys();
  }

  values(): MapIterator<Value> {
    return this.#view.values();
  }

  entries(): MapIterator<[string, Value]> {
    return this.#view.entries();
  }

  [Symbol.iterator](): MapIterator<[string, Value]> {
    return this.#view.entries();
  }

  forEach(visit: (value: Value, key: string, map: ReadonlyMap<string, Value>) => void): void {
    for (const [key, value] of this) visit(value, key, this);
  }

  /**
   * What is under a path, as a live, read-only map with the whole keys. Looking a key up costs the same as
   * here; walking it and its `size` look at all that is followed.
   * @throws CloneError `ERR_INVALID_KEY` if it is no subtree
   * @throws InvalidArgumentError `ERR_INVALID_ARGUMENT` if it is not followed
   */
  subtree(subtree: string): ReadonlyMap<string, Value> {
    return this.#viewOf(this.#checkFollowed(subtree));
  }

  /**
   * The changes under a subtree from now on, for one reader; by default of all that is followed. A snapshot
   * is told as what is different. It ends with the loop, with its signal, or when the client closes.
   *
   * A reader who is slower than the changes misses none of the keys, but steps in between: see `bufferLimit`.
   * @throws CloneError `ERR_INVALID_KEY` if it is no subtree
   * @throws InvalidArgumentError for what is not followed, and for bad options
   * @throws ClosedError
   */
  watch(subtree: string = this.#options.subtree, options?: CloneWatchOptions): Watch<Value> {
    const { initial, bufferLimit, signal } = completeOptions('watch', watchRules, options);
    const checked = this.#checkFollowed(subtree);
    this.#checkOpen();
    const host = {
      decode: (key: string, bytes: Uint8Array) => this.#decode(key, bytes),
      left: (left: Watch<Value>) => this.#unwatch(left, signal),
    };
    const stale = (this.status().events.changed ?? 0) - this.#changesHeard;
    const watch = new Watch<Value>(host, { subtree: checked, stale, bufferLimit, signal });
    if (watch.hasEnded) return watch;
    if (initial) this.#tellAll(watch, checked);
    this.#watches.add(watch);
    if (signal !== undefined) this.#watchSignals.add(signal, watch);
    if (this.#watches.size === 1) this.#driver.call({ type: 'watch', isWatched: true });
    return watch;
  }

  // Writing

  /**
   * Sets a key, and resolves once the server has done so and this map shows it. It is done once, however
   * often it has to be sent, and in the order of the calls. A `Uint8Array` is not copied.
   * @throws CloneError `ERR_CONFLICT` (with the `revision` that the key has), `ERR_EMPTY_VALUE`,
   *   `ERR_INVALID_KEY`, `ERR_VALUE_TOO_LARGE`, `ERR_STATE_FULL`, `ERR_STORAGE_FAILED`, `ERR_QUEUE_FULL`:
   *   it was not done; `ERR_WRITE_TIMEOUT`, `ERR_CANCELLED`, `ERR_CLOSED`: see `maybeDone`
   * @throws InvalidArgumentError if the call is wrong; `ERR_INVALID_BODY` if the codec cannot write the value
   * @throws ClosedError
   */
  async set(key: string, value: Value, options?: CloneSetOptions): Promise<CloneWrite> {
    const { ttl, ifMatch, ...terms } = completeOptions('set', setRules, options);
    checkKey(key);
    const bytes = encodeValue(this.#options.codec, key, value);
    const whole = ttl === undefined ? undefined : Math.ceil(ttl);
    return this.#write({ kind: 'set', key, value: bytes, ttl: whole, ifMatch }, terms);
  }

  /**
   * Deletes a key; also resolves if there is none.
   * @throws as `set`
   */
  async delete(key: string, options?: CloneDeleteOptions): Promise<CloneWrite> {
    const { ifMatch, ...terms } = completeOptions('delete', deleteRules, options);
    checkKey(key);
    return this.#write({ kind: 'delete', key, ifMatch }, terms);
  }

  /**
   * Deletes all that is under a path, whether this client follows it or not, in one step; `''` is everything.
   * At a stock server it is done key by key, to what this client follows and shows when its turn comes.
   * @throws as `set`; InvalidArgumentError for what is not followed, at stock servers
   */
  async clear(subtree: string, options?: CloneWriteOptions): Promise<CloneWrite> {
    const terms = completeOptions('clear', writeRules, options);
    checkSubtree(subtree);
    const { protocol, subtree: followed } = this.#options;
    if (protocol === 'chp') checkWithin(followed, subtree, 'clear');
    return this.#write({ kind: 'clear', key: subtree }, terms);
  }

  /**
   * Sets a key to what `change` makes of its value, again and again until nobody else changed it meanwhile.
   * `change` may be called more than once; undefined from it deletes the key.
   * @throws what `change` throws
   * @throws as `set`; `ERR_WRITE_TIMEOUT` also if others were always faster; `ERR_NOT_SUPPORTED` at stock servers
   * @throws NotReadyError if the replica is not synchronised in time: it does not know the value
   */
  async update(
    key: string,
    change: (former: Value | undefined) => Value | undefined | Promise<Value | undefined>,
    options?: CloneUpdateOptions,
  ): Promise<CloneWrite> {
    const completed = completeOptions('update', updateRules, options);
    const { ttl, signal, timeout = this.#options.timeout } = completed;
    checkKey(key);
    checkWithin(this.#options.subtree, key, 'update');
    checkChange(change);
    this.#checkOpen();
    if (this.#options.protocol === 'chp') throw this.#unknownToStock(key, 'update, use set');
    const deadline = this.#now + timeout;
    await this.synchronised({ timeout, signal });
    for (;;) {
      const revision = this.revision(key);
      const value = await change(this.get(key));
      const left = deadline - this.#now;
      if (left < 1) throw this.#outpaced(key, timeout);
      const terms = { ifMatch: revision, timeout: left, signal };
      try {
        if (value === undefined) return await this.delete(key, terms);
        return await this.set(key, value, { ...terms, ttl });
      } catch (error) {
        if (!(error instanceof CloneError) || error.code !== 'ERR_CONFLICT') throw error;
      }
      await this.#conditions.wait({
        isMet: () => this.revision(key) !== revision,
        deadline: Math.min(deadline, this.#now + CONFLICT_PAUSE),
        signal,
        aborted: (cause) => this.#cancelled(key, cause),
      });
    }
  }

  // The end

  /**
   * Ends all watches, waits up to `drainTimeout` for writes, and frees all resources. What it shows stays
   * readable as it is.
   */
  close(): Promise<void> {
    this.#closing ??= drainAndClose(
      this.#driver,
      this.#environment.clock,
      this.#options.drainTimeout,
      this.#drained.promise,
    );
    this.#conditions.fail(new ClosedError('this client'));
    for (const watch of this.#watches) watch.close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #now(): Instant {
    return this.#environment.clock.now();
  }

  #handleEvent(event: CloneClientEvent): void {
    const { type } = event;
    if (type === 'written') return this.#writes.settle(event.token, event);
    if (type === 'drained') return this.#drained.fire();
    if (type === 'changed') {
      this.#changesHeard++;
      for (const watch of this.#watches) watch.addAll(event.changes);
      return;
    }
    if (type === 'synchronised') this.#isSynchronised = true;
    if (type === 'unsynchronised') this.#isSynchronised = false;
    this.#conditions.check();
    this.announce(event);
  }

  async #write(write: Write, given: CloneWriteOptions): Promise<CloneWrite> {
    const { signal, timeout = this.#options.timeout } = given;
    const { kind, key, value, ttl, ifMatch } = write;
    this.#checkOpen();
    if (this.#endpoints.length === 0) {
      const message = 'not connected: call connect(endpoint) first';
      throw new UnsinkableError('ERR_NOT_CONNECTED', message);
    }
    if (this.#options.protocol === 'chp' && ifMatch !== undefined) {
      throw this.#unknownToStock(key, 'ifMatch');
    }
    return this.#writes.begin({ key, timeout, signal }, (token) =>
      this.#driver.call({ type: 'write', token, kind, key, ttl, ifMatch, value, timeout }),
    );
  }

  #viewOf(subtree: string): MapView<Value> {
    const { codec, subtree: followed } = this.#options;
    return new MapView(() => this.#machine.replica, codec, subtree, subtree === followed);
  }

  /** Begins a watch with what is there. */
  #tellAll(watch: Watch<Value>, subtree: string): void {
    for (const [key, { value, revision }] of this.#machine.replica) {
      if (!isUnder(subtree, key)) continue;
      watch.add({ type: 'set', key, value, revision, timeLeft: undefined, former: undefined });
    }
  }

  #unwatch(watch: Watch<Value>, signal: AbortSignal | undefined): void {
    if (signal !== undefined) this.#watchSignals.delete(signal, watch);
    if (!this.#watches.delete(watch) || this.#watches.size > 0) return;
    this.#driver.call({ type: 'watch', isWatched: false });
  }

  /** The type of a value is the user's to promise. */
  #decode(key: string, bytes: Uint8Array): Value {
    return decodeValue(this.#options.codec, key, bytes) as Value;
  }

  #checkFollowed(subtree: string): string {
    checkSubtree(subtree);
    checkWithin(this.#options.subtree, subtree, 'follow');
    return subtree;
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new ClosedError('this client');
  }

  #cancelled(key: string, cause: unknown): CloneError {
    const message = 'the call was cancelled by its signal';
    return new CloneError('ERR_CANCELLED', key, message, { cause });
  }

  #unknownToStock(key: string, what: string): CloneError {
    const message = `'${key}' was not written: stock servers know no ${what}`;
    return new CloneError('ERR_NOT_SUPPORTED', key, message);
  }

  #outpaced(key: string, timeout: number): CloneError {
    const message = `'${key}' was not updated within ${timeout} ms: others were faster, or the function took too long`;
    return new CloneError('ERR_WRITE_TIMEOUT', key, message);
  }

  #notReady(timeout: number): NotReadyError {
    const who = ['Clone server', this.#options.protocol === 'chp' ? '12/CHP' : 'Clone'] as const;
    return new NotReadyError(this.#endpoints, timeout, who, this.#whyNotReady(timeout));
  }

  /** What is to be said of it beside that nobody answers. */
  #whyNotReady(timeout: number): string | undefined {
    if (this.#endpoints.length === 0) {
      return 'not connected: call connect(endpoint) before synchronised()';
    }
    const { state, endpoint, redirectedTo } = this.#machine.status();
    if (redirectedTo !== '' && this.#endpoints.length === 1) {
      return `${endpoint} is passive, and says that ${redirectedTo} serves: give connect() the endpoints of both`;
    }
    if (state !== 'loading' && state !== 'catchingUp') return undefined;
    return `${endpoint} answers, but the replica is still ${state} after ${timeout} ms: give it more time`;
  }
}
