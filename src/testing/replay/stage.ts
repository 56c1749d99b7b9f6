/** What all roles of one replay run share, besides the world: the truth, and the store. */
import { Stage } from '../stage.ts';
import type { Transcript } from '../transcript.ts';
import type { ReplayPlan } from './plan.ts';
import { SimStore } from './sim-store.ts';
import { Truth } from './truth.ts';

export const PUBLISHER = 'tcp://publisher:5556';
export const REPLAY = 'tcp://publisher:5557';

export class ReplayStage extends Stage {
  readonly plan: ReplayPlan;
  readonly truth: Truth;
  readonly store: SimStore;
  /** Messages are published at the plan's pace. */
  isPublishing = true;

  constructor(plan: ReplayPlan, transcript?: Transcript) {
    const { notices, highWaterMark, ghostDelay, jitter, lateTimers } = plan.settings;
    const network = {
      notices,
      highWaterMark,
      receiveWindow: Math.ceil(highWaterMark / 2),
      // What a closed PUB had sent a SUB reads before what comes on the next connection.
      ghostDelay: plan.protocol === 'stream' ? ghostDelay : 0,
      jitter,
      reconnectInterval: 10,
    };
    super({ seed: plan.seed, lateTimers, network }, transcript);
    this.plan = plan;
    this.truth = new Truth(plan.isStored);
    this.store = new SimStore(this);
  }

  get isStream(): boolean {
    return this.plan.protocol === 'stream';
  }
}
