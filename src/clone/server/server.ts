/** The Clone server: one map of which many have a replica, alone or as one of a pair, in memory or stored. */
import type { StorageBatch, StorageState } from '../../core/batch.ts';
import { BindError, ClosedError, InvalidArgumentError } from '../../core/errors.ts';
import { obey } from '../../core/obey.ts';
import { completeOptions, such, type Completed, type Rules } from '../../core/options.ts';
import {
  openStorage,
  StorageError,
  type Engine,
  type OpenStorageOptions,
  type Storage,
  type StorageStatus,
} from '../../storage/index.ts';
import { bindPort } from '../../transport/binding.ts';
import { drainAndClose, signal } from '../../transport/closing.ts';
import { Driver } from '../../transport/driver.ts';
import { checkEndpoint } from '../../transport/endpoint.ts';
import { systemEnvironment, type Environment } from '../../transport/environment.ts';
import { EventSource } from '../../transport/event-source.ts';
import type { SocketKind } from '../../transport/transport.ts';
import { EMPTY_DIGEST } from '../digest.ts';
import { serverRules, type CloneServerOptions } from '../options.ts';
import type {
  CloneServerEvent,
  CloneServerStatus,
  ServerCall,
  ServerPort,
} from '../server-events.ts';
import { serverCodec, type ServerHears, type ServerSays } from '../wire/protocol.ts';
import { CLONE_FORMAT, Recovery } from './records.ts';
import { ServerMachine } from './server-machine.ts';

export interface CloneServerShellOptions extends CloneServerOptions {
  /**
   * Where the state is kept: a folder, which is made if it is not there, or an engine. Default: nowhere, so
   * that it is gone with the process, or of a pair with both.
   */
  readonly store?: string | Engine | undefined;
  /** Of the storage in `store`, and only with that. Default: those of `openStorage`. */
  readonly storage?: Omit<OpenStorageOptions, 'format'> | undefined;
}

export const cloneServerRules = {
  ...serverRules,
  store: such<string | Engine | undefined>(undefined, 'a folder, or an Engine', isPlace),
  storage: such<CloneServerShellOptions['storage']>(
    undefined,
    'an object of options of the storage',
    (value) => typeof value === 'object' && value !== null,
  ),
} satisfies Rules<CloneServerShellOptions>;

export interface CloneBindOptions {
  /**
   * True: stock clients of 12/CHP are served too, on this port and the two above it. It costs a message for
   * each update. Default false.
   */
  readonly stock?: boolean | undefined;
}

const bindRules = {
  stock: such(false, 'true or false', (value) => typeof value === 'boolean'),
} satisfies Rules<CloneBindOptions>;

/** What a server tells. */
export type CloneServerShellEvent =
  | Exclude<CloneServerEvent, { readonly type: 'holds' | 'alone' | 'drained' }>
  | { readonly type: 'storageChanged'; readonly state: StorageState; readonly reason: string };

/** What a server has, and does. */
export interface CloneServerShellStatus extends CloneServerStatus {
  /** Undefined without `store`, and before `bind`. */
  readonly storage: StorageStatus | undefined;
}

type ServerDriver = Driver<ServerPort, ServerHears, ServerSays, ServerCall, CloneServerEvent>;

/** What there is once the storage is read. */
interface Opened {
  readonly driver: ServerDriver;
  readonly machine: ServerMachine;
  readonly storage: Storage | undefined;
  /** Hears of its election no more. */
  readonly ignoreFailover: (() => void) | undefined;
}

const KINDS: Readonly<Record<ServerPort, SocketKind>> = {
  peers: 'router',
  publisher: 'pub',
  collector: 'sub',
  active: 'dealer',
};

/** Milliseconds after a broken link to the other server before that counts as lost: most are back sooner. */
const NOTICE_GRACE = 100;
/** Bytes that may be on their way to a backup: what a fast link holds, and a moment of memory. */
const BACKUP_WINDOW = 4 * 1024 * 1024;

/** Stock clients are served at two ports above. */
const LAST_STOCK_PORT = 65_533;

const NOTHING_YET: CloneServerStatus = {
  state: 'passive',
  epoch: 0,
  position: { epoch: 0, sequence: 0 },
  digest: EMPTY_DIGEST,
  keys: 0,
  bytes: 0,
  history: { updates: 0, bytes: 0, from: 1 },
  pending: 0,
  writers: 0,
  followers: [],
  backup: 'none',
  servesAlone: false,
  events: {},
};

/**
 * Keeps a map of keys and values, and everybody's replica of it equal to it.
 *
 * ```js
 * const server = new CloneServer({ store: './state' });
 * await server.bind('tcp://127.0.0.1:5556');
 * ```
 *
 * A write that was acknowledged is in the store, where there is one, and with `failover` at the other server
 * of the pair: it is lost only with what has it. Without either, a server that ends takes its map along.
 */
export class CloneServer extends EventSource<CloneServerShellEvent> {
  readonly #environment: Environment;
  readonly #options: Completed<typeof cloneServerRules>;
  readonly #endpoints: string[] = [];
  /** What stock clients have beside these. It stays bound when one of them could not be, for another try. */
  readonly #beside = new Set<string>();
  readonly #drained = signal();
  /** Not made where the recovery is, which would live on with it. */
  readonly #onState = (state: StorageState, reason: string): void => {
    if (state !== 'closed') this.announce({ type: 'storageChanged', state, reason });
  };
  #opening: Promise<Opened> | undefined;
  #opened: Opened | undefined;
  #closing: Promise<void> | undefined;

  /**
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming the option that is unknown or out of range
   */
  constructor(options?: CloneServerShellOptions, environment: Environment = systemEnvironment()) {
    const completed = completeOptions('CloneServer', cloneServerRules, options);
    if (completed.storage !== undefined && completed.store === undefined) {
      const message =
        "CloneServer: option 'storage' is for a server with option 'store': give both";
      throw new InvalidArgumentError('ERR_INVALID_OPTION', message);
    }
    super(completed.logger, {
      backupLost: 'warn',
      backupSynchronised: 'info',
      becameActive: 'info',
      becamePassive: 'warn',
      digestWrong: 'error',
      followerRefused: 'warn',
      malformed: 'warn',
      recordUnreadable: 'error',
      storageChanged: 'warn',
      storeFailed: 'error',
      synchronised: 'info',
      writeRefused: 'warn',
    });
    this.#environment = environment;
    this.#options = completed;
  }

  /** The first endpoint it is bound to, with the real port; undefined before `bind`. */
  get endpoint(): string | undefined {
    return this.#endpoints[0];
  }

  /** All endpoints it is bound to, without the two that stock clients have beside each. */
  get endpoints(): readonly string[] {
    return this.#endpoints;
  }

  /**
   * Binds to one more endpoint: `tcp://127.0.0.1:5556`, `tcp://127.0.0.1:*` for any free port,
   * `ipc:///path`, `inproc://name`. Resolves to the real one. The first call reads what is stored before.
   * @throws InvalidArgumentError `ERR_INVALID_ENDPOINT`; with `stock` also for what has no two ports above it
   * @throws BindError `ERR_ADDRESS_IN_USE`, `ERR_BIND_FAILED`, naming the endpoint, with `stock` perhaps one of
   *   those above it
   * @throws StorageError `ERR_STORAGE_IN_USE`, `ERR_STORAGE_UNAVAILABLE`, `ERR_STORAGE_CORRUPT`,
   *   `ERR_STORAGE_VERSION`, `ERR_STORAGE_FULL`, each saying what to do
   * @throws ClosedError
   */
  async bind(endpoint: string, options?: CloneBindOptions): Promise<string> {
    const { stock } = completeOptions('bind', bindRules, options);
    const checked = checkEndpoint(endpoint, 'bind');
    const beside = stock ? besides(checked) : undefined;
    this.#checkOpen();
    const { driver } = await this.#openOnce();
    this.#checkOpen();
    if (beside !== undefined) {
      // First, so that whoever gets a snapshot can hear what comes after it.
      await this.#bindBeside(driver, 'publisher', beside.publisher);
      await this.#bindBeside(driver, 'collector', beside.collector);
      driver.call({ type: 'serveStock' });
    }
    const bound = await bindPort(driver, 'peers', checked);
    this.#endpoints.push(bound);
    if (this.#closing === undefined) this.#options.failover?.stand({ endpoint: this.endpoint });
    return bound;
  }

  /** What it has and does, and what it has seen since it began. */
  status(): CloneServerShellStatus {
    const { machine, storage } = this.#opened ?? {};
    return { ...(machine?.status() ?? NOTHING_YET), storage: storage?.status() };
  }

  /**
   * Takes no new writes, brings out what it has within `drainTimeout`, says goodbye and closes its store.
   * Whoever decides whether it serves (`failover`) stays open: close that afterwards, and the other server
   * takes over.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new ClosedError('this server');
  }

  async #close(): Promise<void> {
    // Nobody is to be sent here any more.
    this.#options.failover?.stand({ endpoint: '' });
    const opened = await this.#opening?.catch(() => undefined); // `bind` has told why
    if (opened === undefined) return;
    const { driver, storage, ignoreFailover } = opened;
    const { clock } = this.#environment;
    await drainAndClose(driver, clock, this.#options.drainTimeout, this.#drained.promise);
    ignoreFailover?.();
    if (storage !== undefined) await closeStorage(storage);
  }

  async #bindBeside(driver: ServerDriver, port: ServerPort, endpoint: string): Promise<void> {
    if (this.#beside.has(endpoint)) return;
    try {
      await bindPort(driver, port, endpoint);
    } catch (error) {
      if (!(error instanceof BindError)) throw error;
      // Nobody has named this port: why it is wanted has to be said.
      const message = `stock clients are served on the two ports above: ${error.message}`;
      throw new BindError(error.code, endpoint, message);
    }
    this.#beside.add(endpoint);
  }

  /** Unless that has failed, it is done once. */
  async #openOnce(): Promise<Opened> {
    const opening = (this.#opening ??= this.#open());
    try {
      return await opening;
    } catch (error) {
      if (this.#opening === opening) this.#opening = undefined;
      throw error;
    }
  }

  async #open(): Promise<Opened> {
    const { store } = this.#options;
    const recovery = new Recovery();
    const storage = store === undefined ? undefined : await this.#openStorage(store, recovery);
    const opened = this.#start(recovery, storage);
    this.#opened = opened;
    return opened;
  }

  async #openStorage(place: string | Engine, recovery: Recovery): Promise<Storage> {
    const options = this.#options.storage;
    const storage = await openStorage(
      place,
      { ...options, format: CLONE_FORMAT },
      { each: (key, frames) => recovery.add(key, frames), onState: this.#onState },
    );
    for (const key of storage.status().quarantined) {
      recovery.unreadable(key, 'it fails its checksum');
    }
    const [fault, ...others] = recovery.faults;
    if (fault === undefined || options?.damage === 'accept') return storage;
    // Otherwise nobody could open it, as it would be in use.
    await closeStorage(storage);
    const where = typeof place === 'string' ? place : 'the storage';
    const more = others.length === 0 ? '' : `, and ${others.length} more`;
    const message = `${where}: record '${fault.key}' cannot be read: ${fault.reason}${more}; storage option damage: 'accept' takes the rest as the truth`;
    throw new StorageError('ERR_STORAGE_CORRUPT', message);
  }

  #start(recovery: Recovery, storage: Storage | undefined): Opened {
    const { failover, peerQueueBytes } = this.#options;
    const { clock, random, transport } = this.#environment;
    const settings = {
      ...this.#options,
      guard: failover,
      random,
      epoch: Math.max(recovery.epoch + 1, Date.now()),
      isDurable: storage !== undefined,
      noticeGrace: NOTICE_GRACE,
      backupWindow: BACKUP_WINDOW,
      wallClock: Date.now() - clock.now(),
    };
    let recovered = storage === undefined ? undefined : recovery;
    let machine!: ServerMachine;
    const driver: ServerDriver = new Driver<
      ServerPort,
      ServerHears,
      ServerSays,
      ServerCall,
      CloneServerEvent
    >({
      machine: (outbox) => (machine = new ServerMachine(outbox, settings, recovered)),
      codec: serverCodec,
      kindOf: (port) => KINDS[port],
      transport,
      clock,
      peerQueueBytes,
      // The machine stores nothing else.
      store: (batch, done) => storage?.write(batch as StorageBatch, done),
      onEvent: (event) => this.#handleEvent(event),
    });
    // The machine has taken what it needs: the rest is not kept in memory with the driver's options.
    recovered = undefined;
    const call = (each: ServerCall): void => driver.call(each);
    const ignoreFailover = failover && obey(failover, call, clock, recovery.holds);
    return { driver, machine, storage, ignoreFailover };
  }

  #handleEvent(event: CloneServerEvent): void {
    const { failover } = this.#options;
    if (event.type === 'drained') this.#drained.fire();
    else if (event.type === 'holds') failover?.stand({ holds: event.epoch });
    else if (event.type === 'alone') failover?.stand({ alone: event.alone });
    else this.announce(event);
  }
}

function closeStorage(storage: Storage): Promise<void> {
  return new Promise((resolve) => storage.close(resolve));
}

function isPlace(value: unknown): boolean {
  if (typeof value === 'string') return value !== '';
  return typeof value === 'object' && value !== null && 'commit' in value;
}

/**
 * Where stock clients find updates, and bring theirs.
 * @throws InvalidArgumentError `ERR_INVALID_ENDPOINT`
 */
function besides(endpoint: string): { readonly publisher: string; readonly collector: string } {
  const [, host, port] = /^(tcp:\/\/.*:)([1-9]\d*)$/.exec(endpoint) ?? [];
  const first = Number(port);
  if (host === undefined || first > LAST_STOCK_PORT) {
    const message = `endpoint '${endpoint}' has no two ports above it for stock clients: use tcp:// and a port up to ${LAST_STOCK_PORT}, or leave stock out`;
    throw new InvalidArgumentError('ERR_INVALID_ENDPOINT', message);
  }
  return { publisher: `${host}${first + 1}`, collector: `${host}${first + 2}` };
}
