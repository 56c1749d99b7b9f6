/** What all roles of one simulated run share: the world, the network, and the tally of what happened. */
import { seededRandom } from '../core/random.ts';
import { SimNetwork, type SimNetworkSettings } from './sim-network.ts';
import type { SimProcessOptions } from './sim-process.ts';
import { SimWorld } from './sim-world.ts';
import type { Transcript } from './transcript.ts';

/** How often a timer is late, and by how many milliseconds at most, where a plan wants late timers. */
const LATE_SHARE = 0.1;
const LATEST = 30;

/** What every plan says of its surroundings. */
export interface Surroundings {
  /** Decides what is left to chance. */
  readonly seed: number;
  /** Whether timers are late now and then. */
  readonly lateTimers: boolean;
  readonly network: Partial<SimNetworkSettings>;
}

export class Stage {
  readonly world: SimWorld;
  readonly network: SimNetwork;
  /** How often each thing happened, besides what the network counts. */
  readonly tally = new Map<string, number>();
  /** From then on no handler hangs: whoever healed the core also mended the service. */
  isHealed = false;
  readonly #lateTimers: boolean;

  constructor({ seed, lateTimers, network }: Surroundings, transcript?: Transcript) {
    const random = seededRandom(seed);
    this.world = new SimWorld(transcript === undefined ? { random } : { random, transcript });
    this.network = new SimNetwork(this.world, network);
    this.#lateTimers = lateTimers;
  }

  /** Takes down that something happened. */
  count(what: string): void {
    this.tally.set(what, (this.tally.get(what) ?? 0) + 1);
    this.world.trace.addText(what);
    this.world.transcript?.event(this.world.now, what);
  }

  /** A process with a clock of its own. */
  processOptions(): SimProcessOptions {
    const { random } = this.world;
    const clockStart = 1000 * random();
    if (!this.#lateTimers) return { clockStart };
    const isLate = (): boolean => !this.isHealed && random() < LATE_SHARE;
    return { clockStart, lateness: () => (isLate() ? LATEST * random() : 0) };
  }
}
