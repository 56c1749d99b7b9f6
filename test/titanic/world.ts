/** A broker, a Titanic on memory, clients and workers, with real sockets: what every test of the shells needs. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, vi } from 'vitest';
import {
  MajordomoBroker,
  MajordomoClient,
  MajordomoWorker,
  MemoryEngine,
  Titanic,
  TitanicClient,
  type BrokerOptions,
  type ClientOptions,
  type CommitError,
  type Engine,
  type Operation,
  type StorageError,
  type TitanicClientOptions,
  type TitanicOptions,
  type WorkerHandler,
  type WorkerOptions,
} from '../../src/index.ts';

const open: { close(): unknown }[] = [];

// The last to come is the first to go, so that nobody waits for one that is gone.
afterEach(async () => {
  for (const it of open.splice(0).toReversed()) await it.close();
});

/** Closed when the test is over, whoever fails. */
export function closing<Closable extends { close(): unknown }>(it: Closable): Closable {
  open.push(it);
  return it;
}

/** Gone when the test is over. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'titanic-'));
  closing({ close: () => rmSync(folder, { recursive: true }) });
  return folder;
}

/** Short times, so that what comes back is found soon. */
const QUICK: TitanicOptions = {
  absence: 10,
  absenceLimit: 50,
  backoff: 5,
  backoffLimit: 20,
  drainTimeout: 500,
};

export class World {
  readonly engine: Engine;
  broker!: MajordomoBroker;
  titanic!: Titanic;
  readonly endpoint: string;

  private constructor(engine: Engine) {
    this.engine = engine;
    // A port that was left may be taken by whoever tries to reach it; a file is nobody else's.
    this.endpoint = `ipc://${temporaryFolder()}/broker`;
  }

  static async make(
    options?: TitanicOptions,
    engine: Engine = new MemoryEngine(),
    broker?: BrokerOptions,
  ): Promise<World> {
    const world = new World(engine);
    await world.startBroker(broker);
    await world.startTitanic(options);
    return world;
  }

  /** Requests that are not done yet. */
  get pending(): number {
    const { delayed, waiting, running } = this.titanic.status();
    return delayed + waiting + running;
  }

  /** The second one comes where the first one was. */
  async startBroker(options?: BrokerOptions): Promise<void> {
    this.broker = closing(new MajordomoBroker({ drainTimeout: 100, ...options }));
    await this.broker.bind(this.endpoint);
  }

  /** On the same engine: it goes on where the last one stopped. */
  async startTitanic(options?: TitanicOptions): Promise<Titanic> {
    this.titanic = closing(await Titanic.open(this.engine, { ...QUICK, ...options }));
    this.titanic.connect(this.endpoint);
    await this.titanic.ready();
    return this.titanic;
  }

  async worker(
    service: string,
    handler: WorkerHandler,
    options?: WorkerOptions,
  ): Promise<MajordomoWorker> {
    const settings = { drainTimeout: 0, concurrency: 10, ...options };
    const worker = closing(new MajordomoWorker(service, handler, settings));
    worker.connect(this.endpoint);
    await worker.ready();
    return worker;
  }

  /** One that knows the Titanic. */
  client(options?: TitanicClientOptions): TitanicClient {
    const client = closing(new TitanicClient({ drainTimeout: 0, timeout: 10_000, ...options }));
    client.connect(this.endpoint);
    return client;
  }

  /** One that writes what it likes. */
  plain(options?: ClientOptions): MajordomoClient {
    const client = closing(new MajordomoClient({ drainTimeout: 0, ...options }));
    client.connect(this.endpoint);
    return client;
  }
}

/** Memory that can be made to fail as disks do. */
export class OddEngine implements Engine {
  readonly #memory = new MemoryEngine();
  isFull = false;
  isBroken = false;
  isScanned = false;
  refusal: StorageError | undefined;
  /** Commits wait for it. */
  held: Promise<void> | undefined;
  readonly #spoilt = new Set<string>();

  /** From now on this record has other bytes than those that were written. */
  spoil(key: string): void {
    this.#spoilt.add(key);
  }

  scan(
    each: (key: string, value: Uint8Array) => void,
    done: (error: StorageError | undefined) => void,
  ): void {
    this.isScanned = true;
    if (this.refusal !== undefined) return done(this.refusal);
    this.#memory.scan((key, value) => each(key, this.#seen(key, value)), done);
  }

  commit(
    operations: readonly Operation[],
    sync: boolean,
    done: (error: CommitError | undefined) => void,
  ): void {
    if (this.isFull) return done({ kind: 'full', reason: 'no space left on device' });
    if (this.isBroken) return done({ kind: 'broken', reason: 'input/output error' });
    for (const { key } of operations) this.#spoilt.delete(key);
    if (this.held === undefined) this.#memory.commit(operations, sync, done);
    else void this.held.then(() => this.#memory.commit(operations, sync, done));
  }

  read(key: string, done: (error: undefined, value: Uint8Array | undefined) => void): void {
    this.#memory.read(key, (error, value) => {
      done(error, value === undefined ? undefined : this.#seen(key, value));
    });
  }

  reserve(done: (isHeld: boolean) => void): void {
    done(!this.isFull);
  }

  get noted(): number {
    return this.#memory.noted;
  }

  reopen(done: (error: StorageError | undefined) => void): void {
    this.#memory.reopen(done);
  }

  release(): void {
    this.#memory.release();
  }

  note(sequence: number): void {
    this.#memory.note(sequence);
  }

  size(): number {
    return this.#memory.size();
  }

  close(done: () => void): void {
    this.#memory.close(done);
  }

  #seen(key: string, value: Uint8Array): Uint8Array {
    if (!this.#spoilt.has(key)) return value;
    const seen = Uint8Array.from(value);
    seen[seen.length - 1]! ^= 1;
    return seen;
  }
}

/** Resolves when it is called for the first time. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let fire!: () => void;
  const opened = new Promise<void>((resolve) => (fire = resolve));
  return { opened, open: fire };
}

export const upper: WorkerHandler = (request) => request.text().toUpperCase();

/** Resolves as soon as it is so; patient, as a busy machine is slow. */
export async function until(isSo: () => boolean): Promise<void> {
  await vi.waitUntil(isSo, { timeout: 20_000, interval: 2 });
}
