/**
 * What all roles of one failover run share, besides the world: the stores, who served when, what was
 * promised, and what can be said again.
 */
import type { Epoch } from '../../core/election.ts';
import type { PairInput } from '../../failover/commands.ts';
import type { PairRecord, WitnessRecord } from '../../failover/failover-events.ts';
import { Stage } from '../stage.ts';
import type { Transcript } from '../transcript.ts';
import { requireThat } from '../violation.ts';
import type { FailoverPlan } from './plan.ts';
import { CLOCK_ERROR, Promises } from './promises.ts';
import { Reigns, type Throne } from './reigns.ts';
import { SimStore } from './sim-store.ts';

export const PAIR = 'pair';
export const SERVERS = ['server-0', 'server-1'] as const;
export const WITNESS = 'witness';

/** How many words an intruder remembers. */
const OVERHEARD = 40;

/** Milliseconds in which two servers that can hear each other do, beside two heartbeats. */
const HEARING = 200;

/** Something that was said to a server of the pair, or to the witness. */
export interface Overheard {
  readonly to: 'pair' | 'witness';
  readonly by: string;
  readonly command: PairInput;
}

export class FailoverStage extends Stage {
  readonly plan: FailoverPlan;
  readonly reigns: Reigns;
  /** As much as two clocks of the plan differ from the world's. */
  readonly clockDrift = CLOCK_ERROR;
  readonly overheardWords: Overheard[] = [];
  /** The thrones as they are now, whoever sits there. */
  thrones: () => readonly Throne[] = () => [];
  /** Of each server that runs, by name: the epoch of the state that it has. */
  readonly holders = new Map<string, () => number | undefined>();
  /** Servers that a person told to take over, in whichever of their lives, and that have not done so since. */
  readonly promoted = new Set<string>();
  readonly #stores = new Map<string, SimStore>();
  readonly #promises = new Map<string, Promises>();
  readonly #lives = new Map<string, number>();
  readonly #learned = new Map<string, Epoch>();

  constructor(plan: FailoverPlan, transcript?: Transcript) {
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
    this.reigns = new Reigns(plan.mode, 2 * plan.settings.heartbeatInterval + HEARING);
  }

  get hasWitness(): boolean {
    return this.plan.mode === 'witness';
  }

  storeOf(name: string): SimStore {
    let store = this.#stores.get(name);
    if (store === undefined) {
      store = new SimStore(this, this.plan.settings.storeTime);
      this.#stores.set(name, store);
    }
    return store;
  }

  /** Both halves speak as stock ones do. */
  get isStock(): boolean {
    return this.plan.mode === 'stock';
  }

  /** What a server would read after a crash. */
  recordOf(server: string): PairRecord | undefined {
    return this.storeOf(server).record as PairRecord | undefined;
  }

  /** What the witness would read of this pair after a crash. */
  witnessed(): WitnessRecord | undefined {
    const { record } = this.storeOf(WITNESS);
    const records = (record as { records: readonly WitnessRecord[] } | undefined)?.records;
    return records?.find((one) => one.pair === PAIR);
  }

  /** What a voter has promised to this pair. */
  promisesOf(voter: string): Promises {
    let promises = this.#promises.get(voter);
    if (promises === undefined) {
      promises = new Promises(voter);
      this.#promises.set(voter, promises);
    }
    return promises;
  }

  /** A process says that it is in this life of its server: no other one ever was. */
  lived(server: string, life: number): void {
    const former = this.#lives.get(server) ?? 0;
    requireThat(life > former, 'stored before use', () => {
      return `${server} is in life ${life}, after one in ${former}`;
    });
    this.#lives.set(server, life);
  }

  /** A server knows that the other one served under this epoch since it did last itself. */
  learned(server: string, epoch: Epoch): void {
    this.#learned.set(server, epoch === 0 ? 0 : Math.max(epoch, this.#learned.get(server) ?? 0));
  }

  /** Its last life died before it had written what it knew: this one cannot know it. */
  hasForgotten(server: string): boolean {
    return (this.#learned.get(server) ?? 0) > (this.recordOf(server)?.peerServed ?? 0);
  }

  overheard(to: 'pair' | 'witness', by: string, command: PairInput): void {
    this.overheardWords.push({ to, by, command: { ...command } });
    if (this.overheardWords.length > OVERHEARD) this.overheardWords.shift();
  }

  /** The two do not hear each other as they should for `duration` from now on. */
  trouble(duration: number): void {
    this.reigns.trouble(this.world.now + duration);
  }

  /** After each step of a server. */
  checkServing(): void {
    this.reigns.check(this.world.now, this.thrones());
  }
}

/** Where a server is found by its peer, and where by clients. */
export function endpointOf(name: string, purpose: 'pair' | 'clients' | 'claims'): string {
  return `tcp://${name}:${{ pair: 5001, clients: 5555, claims: 5002 }[purpose]}`;
}

/** The other one of the two. */
export function otherOf(server: string): string {
  return server === SERVERS[0] ? SERVERS[1] : SERVERS[0];
}
