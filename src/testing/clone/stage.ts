/** What all roles of one Clone run share, besides the world: what is true, what was written, who served, the disks. */
import type { Address } from '../../core/machine.ts';
import { SimStore } from '../failover/sim-store.ts';
import { Reigns } from '../majordomo-pair/reigns.ts';
import { SimDisk } from '../sim-disk.ts';
import type { SimProcess } from '../sim-process.ts';
import { Stage } from '../stage.ts';
import type { Transcript } from '../transcript.ts';
import { Copies } from './copies.ts';
import type { ClonePlan } from './plan.ts';
import { Truth } from './truth.ts';
import { WriteBook } from './writes.ts';

/** What clocks on the wall show at the beginning, in milliseconds since 1970. */
const WALL = 1_700_000_000_000;

export class CloneStage extends Stage {
  readonly plan: ClonePlan;
  readonly truth: Truth;
  readonly writes: WriteBook;
  readonly copies: Copies;
  readonly reigns: Reigns;
  /** What is done as soon as something is published. */
  readonly whenPublishing: (() => void)[] = [];
  /** What is done as soon as somebody is sent a snapshot, by this server, to this process. */
  readonly whenLoading: ((server: string, to: SimProcess | undefined) => void)[] = [];
  /** A store has failed: what was refused for that may be there after a restart. */
  hasStoreFailed = false;
  readonly #stores = new Map<string, SimStore>();
  readonly #disks = new Map<string, SimDisk>();
  #writers = 0;

  constructor(plan: ClonePlan, transcript?: Transcript) {
    const { notices, highWaterMark, ghostDelay, jitter, lateTimers } = plan.settings;
    const network = {
      notices,
      highWaterMark,
      receiveWindow: highWaterMark / 2,
      ghostDelay,
      jitter,
      reconnectInterval: 10,
    };
    super({ seed: plan.seed, lateTimers, network }, transcript);
    this.plan = plan;
    this.truth = new Truth(this);
    this.copies = new Copies(this);
    this.reigns = new Reigns(this, plan.topology === 'witness');
    this.writes = new WriteBook(this);
  }

  get isPair(): boolean {
    return this.plan.topology !== 'lone';
  }

  /** Milliseconds since 1970. */
  get wallClock(): number {
    return WALL + this.world.now;
  }

  /** Something became public. */
  publishes(): void {
    for (const act of this.whenPublishing.splice(0)) act();
  }

  /** A server begins to send a snapshot. */
  loads(server: string, to: Address): void {
    for (const act of this.whenLoading.splice(0)) act(server, this.processAt(to));
  }

  /** Who is at this address of some ROUTER. */
  processAt(address: Address): SimProcess | undefined {
    for (const connection of this.network.connections) {
      if (connection.address === address) return connection.dealer.process;
    }
    return undefined;
  }

  /** Of epochs: it outlives the processes of this name. */
  storeOf(name: string): SimStore {
    let store = this.#stores.get(name);
    if (store === undefined) {
      store = new SimStore(this, this.plan.pair.storeTime);
      this.#stores.set(name, store);
    }
    return store;
  }

  /** Of the state. */
  diskOf(name: string): SimDisk {
    let disk = this.#disks.get(name);
    if (disk === undefined) {
      disk = new SimDisk(this.world, {
        commitTime: this.plan.settings.commitTime,
        ballast: 0,
        onEvent: (event) => this.count(`disk.${event}`),
      });
      this.#disks.set(name, disk);
    }
    return disk;
  }

  disks(): Iterable<SimDisk> {
    return this.#disks.values();
  }

  /** Who nobody else is: eight characters. */
  newWriter(): string {
    return `writer${String(this.#writers++).padStart(2, '0')}`;
  }
}
