/**
 * Whether another Titanic serves the same broker: it shares the questions out between them, and each knows
 * but its own requests. Nobody loses anything, but clients are told of unknown requests.
 */
import type { MajordomoClient, ServiceStatus } from '../majordomo/index.ts';
import type { Clock } from '../transport/transport.ts';
import type { TitanicService } from './commands.ts';

/** Every Titanic has one session for each of its services. */
const TELLING: TitanicService = 'titanic.submit';

/** One look too many might see the last session of one that has just died. */
const LOOKS = 2;

/** What looking needs of the Titanic. */
export interface RivalHost {
  readonly client: Pick<MajordomoClient, 'services'>;
  readonly clock: Clock;
  /** Milliseconds between two looks: more than a dead session takes to expire. */
  readonly interval: number;
  found(titanics: number): void;
}

export class RivalWatch {
  readonly #host: RivalHost;
  #disarm: (() => void) | undefined;
  #seen = 0;

  constructor(host: RivalHost) {
    this.#host = host;
  }

  /** There is a broker that lists its services. */
  start(): void {
    this.stop();
    this.#arm();
  }

  stop(): void {
    this.#disarm?.();
    this.#disarm = undefined;
    this.#seen = 0;
  }

  #arm(): void {
    const { clock, interval } = this.#host;
    const disarm = clock.wakeAt(clock.now() + interval, () => void this.#look(disarm));
    this.#disarm = disarm;
  }

  async #look(turn: () => void): Promise<void> {
    const titanics = await this.#count();
    // It was stopped, or started anew, meanwhile.
    if (this.#disarm !== turn) return;
    this.#seen = titanics > 1 ? this.#seen + 1 : 0;
    if (this.#seen === LOOKS) this.#host.found(titanics);
    this.#arm();
  }

  /** Titanics at this broker; 0 if it does not say. */
  async #count(): Promise<number> {
    const { client, interval } = this.#host;
    let services: readonly ServiceStatus[];
    try {
      services = await client.services({ timeout: interval, retries: 0 });
    } catch {
      return 0;
    }
    return services.find(({ name }) => name === TELLING)?.workers ?? 0;
  }
}
