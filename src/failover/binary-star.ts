/**
 * One server of a pair, for any server to embed: it says who of the two may serve.
 *
 * The machine is made once its record was read, as nothing may be said before that: what is called
 * meanwhile waits, and until then nobody serves here.
 */
import type { Election, ElectionEvent, Epoch, Standing } from '../core/election.ts';
import { ClosedError, UnsinkableError } from '../core/errors.ts';
import { expiryOf } from '../core/heartbeat.ts';
import type { Instant } from '../core/machine.ts';
import { bindPort } from '../transport/binding.ts';
import { drainAndClose, signal } from '../transport/closing.ts';
import { Driver } from '../transport/driver.ts';
import { checkEndpoint } from '../transport/endpoint.ts';
import { systemEnvironment, type Environment } from '../transport/environment.ts';
import { EventSource } from '../transport/event-source.ts';
import { Readiness } from '../transport/readiness.ts';
import type { SocketKind } from '../transport/transport.ts';
import { zeromqTransport } from '../transport/zeromq.ts';
import type { PairInput, PairOutput, Role } from './commands.ts';
import { defaultEpochFile, openStore, readError, recordError, RecordWriter } from './epoch-file.ts';
import type { PairCall, PairEvent, PairPort, PairRecord, PairStatus } from './failover-events.ts';
import type { BinaryStarOptions, EpochStore } from './options.ts';
import { PairMachine } from './pair-machine.ts';
import {
  invalid,
  starLevels,
  starSettingsOf,
  statusBefore,
  type StarSettings,
} from './star-settings.ts';
import { pairCodec, stockCodec } from './protocol.ts';
import { isFault, pairRecordOf } from './records.ts';

/**
 * What to do with a client that wants to be served. `serve`: under that epoch, which the answer shows.
 * `redirect`: the active one is at `endpoint`. `refuse`: nobody is known to serve; try again, here or at
 * the other one. The epoch is the highest known, for the client to show in turn.
 */
export type Verdict =
  | { readonly verdict: 'serve'; readonly epoch: Epoch }
  | { readonly verdict: 'redirect'; readonly epoch: Epoch; readonly endpoint: string }
  | { readonly verdict: 'refuse'; readonly epoch: Epoch };

type PairDriver = Driver<PairPort, PairInput, PairOutput, PairCall, PairEvent>;

/** A machine at work. */
interface Running {
  readonly driver: PairDriver;
  readonly machine: PairMachine;
  readonly drained: ReturnType<typeof signal>;
}

/** Milliseconds: one that was started again should be heard before anybody misses it. */
const SLOWEST_RECONNECT = 100;

/** What waits for one who is not there is old when it comes: so little may. */
const MESSAGES_QUEUED = 4;
const BYTES_QUEUED = 2048;

/** Who should answer `ready()`. */
const WHO = ['peer or witness', 'Binary Star under this name'] as const;

/**
 * Half of a pair of servers, of which at most one serves: the other takes over when that is gone.
 *
 * ```js
 * const star = new BinaryStar({ role: 'primary', peer: 'tcp://10.0.0.2:5556' });
 * const broker = new MajordomoBroker({ failover: star });
 * await star.bind('tcp://10.0.0.1:5556');
 * await broker.bind('tcp://10.0.0.1:5555');
 * ```
 *
 * With the option `witness` there never are two that serve. Without, clients vote, and two that are cut off
 * from each other may both serve. See `docs/failover.md` for what each promises.
 */
export class BinaryStar extends EventSource<PairEvent> implements Election {
  readonly #environment: Environment;
  readonly #settings: StarSettings;
  readonly #store: EpochStore;
  readonly #storeName: string;
  readonly #writer: RecordWriter;
  readonly #readiness: Readiness;
  readonly #endpoints: string[] = [];
  readonly #listeners = new Set<(event: ElectionEvent) => void>();
  /** What was called before there was a machine that will stay. */
  readonly #early = new Map<PairCall['type'], PairCall>();
  #running: Running | undefined;
  /** The peer could have been heard by now. */
  #hasListened = false;
  #forget: () => void = () => undefined;
  /** The bind that was asked for last. */
  #bound: Promise<string> | undefined;
  #closing: Promise<void> | undefined;

  /**
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming what is wrong
   */
  constructor(options: BinaryStarOptions, environment: Environment = pairEnvironment()) {
    const settings = starSettingsOf(options);
    super(settings.logger, starLevels);
    checkEndpoints(settings);
    const { name, role, store, advertise } = settings;
    this.#environment = environment;
    this.#settings = settings;
    const opened = openStore(store, defaultEpochFile(name, role));
    this.#store = opened.store;
    this.#storeName = opened.what;
    this.#writer = new RecordWriter(this.#store);
    this.#readiness = new Readiness('this server', WHO, environment.clock);
    if (advertise !== undefined) this.#call({ type: 'stand', standing: { endpoint: advertise } });
  }

  /** The first endpoint at which the peer finds it, with the real port; undefined before `bind`. */
  get endpoint(): string | undefined {
    return this.#endpoints[0];
  }

  /** All endpoints it is bound to. */
  get endpoints(): readonly string[] {
    return this.#endpoints;
  }

  /**
   * Reads its record, binds where the peer comes to, `tcp://10.0.0.1:5556` or the like, and begins. Resolves
   * to the real endpoint. It may be called again for one more endpoint, or after it was rejected.
   * @throws InvalidArgumentError `ERR_INVALID_ENDPOINT`
   * @throws BindError `ERR_ADDRESS_IN_USE`, `ERR_BIND_FAILED`, naming the endpoint
   * @throws StorageError what is wrong with the store, and what to do
   * @throws ClosedError
   */
  async bind(endpoint: string): Promise<string> {
    const checked = checkEndpoint(endpoint, 'bind');
    const former = this.#bound?.catch(() => undefined);
    this.#bound = (async () => {
      await former;
      return await this.#bind(checked);
    })();
    return await this.#bound;
  }

  /**
   * Resolves when it knows who serves, or that it may become the one to.
   * @param options.timeout milliseconds, default 10,000
   * @throws NotReadyError `ERR_NOT_READY` if neither the peer nor the witness was heard, and no client's
   *   vote could make it serve
   * @throws ClosedError also when it is closed meanwhile, and whatever `bind` throws
   */
  async ready(options?: { readonly timeout?: number }): Promise<void> {
    if (this.#bound === undefined) {
      throw new UnsinkableError('ERR_NOT_READY', 'not bound: call bind(endpoint) before ready()');
    }
    await this.#bound;
    const { peer, witness } = this.#settings;
    const voices = witness === undefined ? [peer] : [peer, witness];
    await this.#readiness.wait(voices, options, this.#isReady());
  }

  // What a server asks and tells: the interface of an election

  /**
   * What to do with a client, which thereby votes.
   * @param request.epoch the highest epoch that the client has seen, if it says so
   */
  guard(request?: { readonly epoch?: Epoch | undefined }): Verdict {
    const now = this.#now();
    const shown = request?.epoch ?? 0;
    this.seen(now, shown);
    this.asked(now);
    const epoch = this.epochAt(now);
    if (epoch > 0 && shown <= epoch) return { verdict: 'serve', epoch };
    const [highest, endpoint] = [this.highestEpoch, this.activeEndpoint];
    // A client that has seen more than is believable here is not sent round in circles.
    return endpoint === '' || epoch > 0
      ? { verdict: 'refuse', epoch: highest }
      : { verdict: 'redirect', epoch: highest, endpoint };
  }

  epochAt(now: Instant): Epoch {
    // Who asks may have been stopped since it looked at its clock.
    return this.#running?.machine.epochAt(Math.max(now, this.#now())) ?? 0;
  }

  get highestEpoch(): Epoch {
    return this.#running?.machine.highestEpoch ?? 0;
  }

  get activeEndpoint(): string {
    const machine = this.#running?.machine;
    // One that may not serve now, and does not know it yet, sends nobody to itself.
    const isFenced = machine?.state.phase === 'active' && this.epochAt(0) === 0;
    return machine === undefined || isFenced ? '' : machine.activeEndpoint;
  }

  seen(_now: Instant, epoch: Epoch): void {
    if (epoch > this.highestEpoch) this.#call({ type: 'seen', epoch });
  }

  asked(_now: Instant): void {
    this.#call({ type: 'asked' });
  }

  subscribe(listener: (event: ElectionEvent) => void): () => void {
    // One of its own, should the same function be given twice.
    const own = (event: ElectionEvent): void => listener(event);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  stand(standing: Standing): void {
    const { advertise } = this.#settings;
    const known = advertise === undefined ? standing : { ...standing, endpoint: advertise };
    this.#call({ type: 'stand', standing: known });
  }

  // What a person asks and tells

  /** Serve if the other one is not heard, whatever is lost by that. Good for one takeover. */
  promote(): void {
    this.#call({ type: 'promote' });
  }

  /** Serve no more; the other one may. */
  resign(): void {
    this.#call({ type: 'resign' });
  }

  /** What it is and knows. */
  status(): PairStatus {
    return this.#running?.machine.status(this.#now()) ?? statusBefore(this.#settings);
  }

  /** Says goodbye, so that the other one may take over at once, and gives the store back. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#readiness.close();
    await this.#bound?.catch(() => undefined);
    this.#forget();
    const running = this.#running;
    if (running !== undefined) {
      const { drainTimeout } = this.#settings;
      const { clock } = this.#environment;
      await drainAndClose(running.driver, clock, drainTimeout, running.drained.promise);
    }
    await this.#writer.settled();
    await this.#store.close();
  }

  // Beginning

  async #bind(endpoint: string): Promise<string> {
    this.#checkOpen();
    const former = this.#running;
    const running = former ?? (await this.#begin());
    try {
      this.#checkOpen();
      const bound = await bindPort(running.driver, 'pair', endpoint);
      this.#endpoints.push(bound);
      this.#early.clear();
      return bound;
    } catch (error) {
      if (former === undefined) await this.#undo(running);
      throw error;
    }
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new ClosedError('this server');
  }

  /** Nobody reached it, so it was never there; the next `bind` makes another one. */
  async #undo({ driver }: Running): Promise<void> {
    this.#running = undefined;
    this.#hasListened = false;
    this.#forget();
    driver.call({ type: 'stop' });
    await new Promise<void>((resolve) => driver.close(resolve));
    await this.#writer.settled();
  }

  async #begin(): Promise<Running> {
    const { name, role } = this.#settings;
    const read = await this.#read();
    const record = pairRecordOf(read, name, role);
    if (isFault(record)) throw recordError(this.#storeName, record);
    this.#checkOpen();
    const running = this.#run(record ?? firstRecord(name, role));
    this.#running = running;
    for (const call of this.#early.values()) running.driver.call(call);
    const { clock } = this.#environment;
    this.#forget = clock.wakeAt(clock.now() + expiryOf(this.#settings), () => {
      this.#hasListened = true;
      this.#lookReady();
    });
    return running;
  }

  async #read(): Promise<unknown> {
    try {
      return await this.#store.read();
    } catch (error) {
      throw readError(this.#storeName, error);
    }
  }

  #run(record: PairRecord): Running {
    const { peerQueueBytes, name, ...settings } = this.#settings;
    const isStock = settings.protocol === 'stock';
    const { transport, clock } = this.#environment;
    const drained = signal();
    let machine!: PairMachine;
    const driver: PairDriver = new Driver({
      machine: (outbox) => (machine = new PairMachine(outbox, { ...settings, pair: name }, record)),
      codec: isStock ? stockCodec : pairCodec,
      kindOf: isStock ? stockKindOf : kindOf,
      transport,
      clock,
      peerQueueBytes: Math.min(peerQueueBytes, BYTES_QUEUED),
      store: (batch, done) =>
        this.#writer.write(batch, (error) => {
          done(error);
          this.#lookReady();
        }),
      onEvent: (event) => {
        if (event.type === 'drained') drained.fire();
        this.#handleEvent(event);
      },
    });
    return { driver, machine, drained };
  }

  /** Of what comes before the machine, the last of each kind counts, and of epochs the highest. */
  #call(call: PairCall): void {
    if (this.#endpoints.length === 0) {
      const former = this.#early.get(call.type);
      this.#early.set(call.type, former === undefined ? call : merged(former, call));
    }
    this.#running?.driver.call(call);
  }

  #now(): Instant {
    return this.#environment.clock.now();
  }

  // What happens

  #handleEvent(event: PairEvent): void {
    this.announce(event);
    this.#lookReady();
    if (!isElectionEvent(event)) return;
    for (const listener of this.#listeners) {
      // Later, as whoever listens may be in the middle of a call to us.
      this.#environment.clock.atTurnEnd(() => {
        if (this.#listeners.has(listener)) listener(event);
      });
    }
  }

  #lookReady(): void {
    if (this.#isReady()) this.#readiness.answered();
  }

  #isReady(): boolean {
    const { state, peer, witness } = this.status();
    if (state === 'active') return true;
    if (!this.#writer.hasWritten || state === 'closed') return false;
    const isHeard = peer !== 'unheard' && peer !== 'lost';
    if (isHeard || this.#settings.witness !== undefined) return isHeard || witness === 'heard';
    return this.#hasListened;
  }
}

function isElectionEvent(event: PairEvent): event is ElectionEvent {
  return ['becameActive', 'becamePassive', 'activeChanged', 'servesAlone'].includes(event.type);
}

function merged(former: PairCall, call: PairCall): PairCall {
  if (former.type === 'stand' && call.type === 'stand') {
    const standing: Record<string, unknown> = { ...former.standing };
    for (const [name, value] of Object.entries(call.standing)) {
      if (value !== undefined) standing[name] = value;
    }
    return { type: 'stand', standing };
  }
  if (former.type === 'seen' && call.type === 'seen' && former.epoch > call.epoch) return former;
  return call;
}

let environmentOfPairs: Environment | undefined;

/** The system's, but for sockets that soon find who was started again, and have little to tell it. */
function pairEnvironment(): Environment {
  environmentOfPairs ??= {
    ...systemEnvironment(),
    transport: zeromqTransport({
      slowestReconnect: SLOWEST_RECONNECT,
      sendHighWaterMark: MESSAGES_QUEUED,
    }),
  };
  return environmentOfPairs;
}

function kindOf(port: PairPort): SocketKind {
  return port === 'pair' ? 'router' : 'dealer';
}

function stockKindOf(port: PairPort): SocketKind {
  return port === 'pair' ? 'pub' : 'sub';
}

/** @throws InvalidArgumentError `ERR_INVALID_OPTION` */
function checkEndpoints({ peer, witness, advertise }: StarSettings): void {
  for (const [name, endpoint] of Object.entries({ peer, witness, advertise })) {
    try {
      if (endpoint !== undefined) checkEndpoint(endpoint, 'connect');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw invalid(`'${name}' is not what one connects to: ${reason}`);
    }
  }
}

/**
 * Of a server that never had one, or has lost it: the seconds since 1970 stand for the lives it may have had,
 * so that those who remember one of them listen to this one.
 */
function firstRecord(pair: string, role: Role): PairRecord {
  return { version: 1, pair, role, life: Math.floor(Date.now() / 1000), epoch: 0, peerServed: 0 };
}
