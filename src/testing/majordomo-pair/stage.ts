/** What all roles of a run with a pair of brokers share: who served when, what was done under keys, the stores. */
import type { Address } from '../../core/machine.ts';
import { SimStore } from '../failover/sim-store.ts';
import { MajordomoStage } from '../majordomo/stage.ts';
import type { SimProcess } from '../sim-process.ts';
import type { Transcript } from '../transcript.ts';
import { Keys } from './keys.ts';
import { SERVERS, type PairPlan, type Server } from './plan.ts';
import { Reigns } from './reigns.ts';

/** Where a process is found, by clients and workers, by its peer, and by who wants a lease. */
export function endpointOf(name: string, purpose: 'peers' | 'pair' | 'claims'): string {
  return `tcp://${name}:${{ peers: 5555, pair: 5001, claims: 5002 }[purpose]}`;
}

export class PairStage extends MajordomoStage<PairPlan> {
  override readonly keyedDurations: readonly number[] = [20, 150, 500];
  readonly reigns: Reigns;
  readonly keys: Keys;
  /** What is done as soon as the passive broker copies what the active one has. */
  readonly whenCopying: ((follower: Server) => void)[] = [];
  readonly #stores = new Map<string, SimStore>();

  constructor(plan: PairPlan, transcript?: Transcript) {
    super(
      plan,
      transcript,
      SERVERS.map((name) => endpointOf(name, 'peers')),
    );
    const { witness } = plan.pair;
    this.reigns = new Reigns(this, witness);
    this.keys = new Keys(this, this.reigns, witness);
  }

  /** This server begins to copy what the other one has. */
  copies(follower: Server): void {
    for (const act of this.whenCopying.splice(0)) act(follower);
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
}
