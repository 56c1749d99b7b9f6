/** What all roles of one Pirate run share, besides the world: who did what, and what can be stolen. */
import { toAddress } from '../../core/frames.ts';
import type { Address, Frames } from '../../core/machine.ts';
import { Stage } from '../stage.ts';
import type { Transcript } from '../transcript.ts';
import type { PiratePlan } from './plan.ts';

/** How many tags a rogue may know of others. */
const STOLEN = 6;

/** What one handler did. */
export interface Execution {
  readonly work: string;
  readonly server: string;
}

export class PirateStage extends Stage {
  readonly plan: PiratePlan;
  /** Every execution of the run; its place is its number. */
  readonly executions: Execution[] = [];
  /** Tags of recent dispatches to honest workers: what a rogue may steal. */
  readonly tags: string[] = [];

  constructor(plan: PiratePlan, transcript?: Transcript) {
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

  /** Remembers the tag that an honest worker was sent. */
  overheard([tag]: Frames): void {
    if (tag !== undefined) this.tags.push(toAddress(tag));
    if (this.tags.length > STOLEN) this.tags.shift();
  }

  /** The process behind an address that somebody has now. */
  nameOf(address: Address): string | undefined {
    for (const connection of this.network.connections) {
      if (connection.address === address) return connection.dealer.process.name;
    }
    return undefined;
  }
}

/** Where clients find a queue. */
export function frontendOf(queue: string): string {
  return `tcp://${queue}:5555`;
}

/** Where workers find it. */
export function backendOf(queue: string): string {
  return `tcp://${queue}:5556`;
}
