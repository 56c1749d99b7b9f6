/** What a publisher may do: its buffers are bounded, and it waits for nobody. */
import { weightOf } from '../../clone/commands.ts';
import type {
  ReplayPublisherCall,
  ReplayPublisherEvent,
  ReplayPublisherStatus,
} from '../../clone/replay/events.ts';
import type { Instant } from '../../core/machine.ts';
import type { MachineChecker } from '../machine-role.ts';
import type { Input } from '../watched-machine.ts';
import { requireThat } from '../violation.ts';
import type { ReplayStage } from './stage.ts';
import { toldBy, type Told } from './truth.ts';

/** What one message weighs at most beside what a plan adds to it. */
const SMALL = 200;

export class PublisherChecker<Port> implements MachineChecker<
  Port,
  unknown,
  unknown,
  ReplayPublisherCall,
  ReplayPublisherEvent
> {
  readonly #stage: ReplayStage;
  readonly #machine: () => { status(): ReplayPublisherStatus };
  /** Accepted, and not public. */
  readonly #accepted = new Map<number, Told>();

  constructor(stage: ReplayStage, machine: () => { status(): ReplayPublisherStatus }) {
    this.#stage = stage;
    this.#machine = machine;
  }

  before(_now: Instant, input: Input<Port, unknown, ReplayPublisherCall>): void {
    if (input.kind !== 'call' || input.call.type !== 'publish') return;
    const told = toldBy(input.call.body);
    if (told !== undefined) this.#accepted.set(told.sequence, told);
  }

  told(event: ReplayPublisherEvent): void {
    if (event.type === 'publishRefused') this.#accepted.delete(event.sequence);
    if (event.type !== 'published') return;
    const told = this.#accepted.get(event.sequence);
    requireThat(told !== undefined, 'nothing is invented', () => {
      return `${event.sequence} is published, and nobody asked for that`;
    });
    this.#accepted.delete(event.sequence);
    this.#stage.truth.published(told);
  }

  after(): void {
    const { truth, plan } = this.#stage;
    const { historyLimit, pendingLimit, window } = plan.settings;
    const { history, pending, followers } = this.#machine().status();
    const numbering = truth.numbering(truth.life);
    numbering.first = Math.max(numbering.first, history.from);
    requireThat(history.messages <= historyLimit, 'buffers are bounded', () => {
      return `${history.messages} messages are in a history of ${historyLimit}`;
    });
    requireThat(pending <= pendingLimit, 'buffers are bounded', () => {
      return `${pending} messages wait for the store, ${pendingLimit} may`;
    });
    if (!this.#stage.isStream) return;
    const beats = 3 * weightOf({ type: 'beat' } as Parameters<typeof weightOf>[0]) + SMALL;
    for (const { address, inFlight } of followers) {
      const limit = Math.max(window, ROGUE_WINDOW) + plan.size + SMALL + beats;
      requireThat(inFlight <= limit, 'slow ones delay nobody', () => {
        return `${inFlight} bytes are on their way to ${address}, ${limit} may be`;
      });
    }
  }
}

/** What a rogue asks for. */
export const ROGUE_WINDOW = 500;
