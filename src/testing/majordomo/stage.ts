/** What all roles of one run share: the world, the network, the plan, and the tally. */
import { toAddress } from '../../core/frames.ts';
import type { Address } from '../../core/machine.ts';
import type { BrokerOutput, DispatchTag } from '../../majordomo/commands.ts';
import type { SimProcessOptions } from '../sim-process.ts';
import { SimNetwork } from '../sim-network.ts';
import { SimWorld } from '../sim-world.ts';
import { seededRandom } from '../../core/random.ts';
import type { Transcript } from '../transcript.ts';
import type { MajordomoPlan } from './plan.ts';

/** How often a timer is late, and by how many milliseconds at most, where a plan wants late timers. */
const LATE_SHARE = 0.1;
const LATEST = 30;

/** Stands for every process in `resetInReply`. */
export const ANY = '*';

export class Stage {
  readonly plan: MajordomoPlan;
  readonly world: SimWorld;
  readonly network: SimNetwork;
  /** How often each thing happened, besides what the network counts. */
  readonly tally = new Map<string, number>();
  /** From then on no handler hangs: whoever healed the core also mended the service. */
  isHealed = false;
  /** The tags of recent dispatches to honest workers: what a rogue may steal. */
  readonly tags: DispatchTag[] = [];

  /** The processes whose link is reset as soon as a part of a reply travels on it. */
  readonly resetInReply = new Set<string>();

  constructor(plan: MajordomoPlan, transcript?: Transcript) {
    const { notices, highWaterMark, ghostDelay, jitter } = plan.settings;
    const random = seededRandom(plan.seed);
    this.plan = plan;
    this.world = new SimWorld(transcript === undefined ? { random } : { random, transcript });
    this.network = new SimNetwork(this.world, {
      notices,
      highWaterMark,
      receiveWindow: highWaterMark / 2,
      ghostDelay,
      jitter,
      reconnectInterval: 10,
    });
  }

  /** True if a link may lose messages without breaking: what only the fault `drop` does. */
  get mayMissParts(): boolean {
    return this.plan.faults.some(({ kind }) => kind === 'drop');
  }

  /** A part of a reply leaves on the link between `name` and the broker. */
  partSent(name: string): void {
    if (!this.resetInReply.delete(name) && !this.resetInReply.delete(ANY)) return;
    const { latency, jitter } = this.network.settings;
    this.world.after((latency + jitter / 2) * this.world.random(), () => {
      if (this.network.reset(name, 'broker') > 0) this.count('resetInReply');
    });
  }

  count(what: string): void {
    this.tally.set(what, (this.tally.get(what) ?? 0) + 1);
    this.world.trace.addText(what);
    this.world.transcript?.event(this.world.now, what);
  }

  processOptions(): SimProcessOptions {
    const { random } = this.world;
    const clockStart = 1000 * random();
    if (!this.plan.settings.lateTimers) return { clockStart };
    return { clockStart, lateness: () => (random() < LATE_SHARE ? LATEST * random() : 0) };
  }

  /** What the broker sent, as it sent it. */
  brokerSent(to: Address, command: BrokerOutput): void {
    if (command.type === 'reply' && !command.final) this.partSent(this.#nameOf(to));
    if (command.type !== 'dispatch' || this.#nameOf(to) === 'rogue') return;
    this.tags.push(toAddress(command.envelope[0]!));
    if (this.tags.length > 4) this.tags.shift();
  }

  /** Whose address this is now. */
  #nameOf(address: Address): string {
    for (const connection of this.network.connections) {
      if (connection.address === address) return connection.dealer.process.name;
    }
    return 'nobody';
  }
}
