/** What all roles of one Freelance run share, besides the world: who did what, and what can be stolen. */
import { Stage } from '../stage.ts';
import type { Transcript } from '../transcript.ts';
import type { FreelancePlan } from './plan.ts';

/** How many control frames a rogue may know of others. */
const STOLEN = 6;

/** What the handler of one server did. */
export interface Execution {
  readonly work: string;
  readonly server: string;
}

export class FreelanceStage extends Stage {
  readonly plan: FreelancePlan;
  /** Every execution of the run; its place is its number. */
  readonly executions: Execution[] = [];
  /** Control frames of recent requests to honest servers: what a rogue may answer. */
  readonly controls: Uint8Array[] = [];

  constructor(plan: FreelancePlan, transcript?: Transcript) {
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
  }

  /** A handler begins; returns the number of this execution. */
  execute(server: string, work: string): number {
    return this.executions.push({ work, server }) - 1;
  }

  /** Remembers a control frame that an honest server was sent. */
  overheard(control: Uint8Array): void {
    this.controls.push(control.slice());
    if (this.controls.length > STOLEN) this.controls.shift();
  }
}

/** Where a server binds. */
export function endpointOf(server: string): string {
  return `tcp://${server}:5555`;
}
