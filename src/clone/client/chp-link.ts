/**
 * The three sockets of a client of a stock server (12/CHP), to one server at a time: which one, and when
 * to try the next.
 */
import type { Instant } from '../../core/machine.ts';
import { backoffDelay, type Random } from '../../core/retry.ts';
import type { ClientPort } from '../client-events.ts';

export interface ChpLinkSettings {
  readonly reconnectInterval: number;
  readonly reconnectLimit: number;
  readonly random: Random;
}

/** What opens and closes sockets. */
export interface ChpSockets {
  open(port: ClientPort, endpoint: string): void;
  close(port: ClientPort, flush?: boolean): void;
}

/** In the order in which they are opened: what is published while a snapshot comes is to be heard. */
const PORTS = ['updates', 'writes', 'server'] as const satisfies readonly ClientPort[];

export class ChpLink {
  readonly #sockets: ChpSockets;
  readonly #settings: ChpLinkSettings;
  /** Plain data, for the fingerprint. */
  readonly state = {
    phase: 'idle' as 'idle' | 'up' | 'resting',
    endpoints: [] as string[],
    endpoint: 0,
    /** When it connects to the next one. */
    restAt: Infinity,
    /** Ends of links since all was well last. */
    failures: 0,
  };

  constructor(sockets: ChpSockets, settings: ChpLinkSettings) {
    this.#sockets = sockets;
    this.#settings = settings;
  }

  get isUp(): boolean {
    return this.state.phase === 'up';
  }

  /** The endpoint that it is, or was last, connected to; '' before the first. */
  get endpoint(): string {
    return this.state.endpoints[this.state.endpoint] ?? '';
  }

  /** More endpoints. True: it has connected to the first. */
  connect(endpoints: readonly string[]): boolean {
    const { state } = this;
    for (const endpoint of endpoints) {
      const isNew = !state.endpoints.includes(endpoint) && portsOf(endpoint) !== undefined;
      if (isNew) state.endpoints.push(endpoint);
    }
    if (state.phase !== 'idle' || state.endpoints.length === 0) return false;
    this.#open(0);
    return true;
  }

  /** True: it rested long enough, and has connected to the next endpoint. */
  wake(now: Instant): boolean {
    if (this.state.restAt > now) return false;
    this.#open(this.state.endpoint + 1);
    return true;
  }

  /** It is over with this server: after a rest to the next one. */
  leave(now: Instant): void {
    this.#close();
    this.state.phase = 'resting';
    this.state.restAt = now + this.restAfter(this.state.failures++);
  }

  /** For good. True: it was up. */
  stop(): boolean {
    const { isUp } = this;
    if (isUp) this.#close();
    this.state.phase = 'idle';
    this.state.restAt = Infinity;
    return isUp;
  }

  /** All is well. */
  succeed(): void {
    this.state.failures = 0;
  }

  /** How long to wait after so many failures, in milliseconds. */
  restAfter(failures: number): number {
    const { reconnectInterval: backoff, reconnectLimit: backoffLimit, random } = this.#settings;
    return backoffDelay({ backoff, backoffLimit }, failures, random);
  }

  #open(index: number): void {
    const { state } = this;
    state.phase = 'up';
    state.restAt = Infinity;
    state.endpoint = index % state.endpoints.length;
    const ports = portsOf(this.endpoint)!;
    for (const port of PORTS) this.#sockets.open(port, ports[port]);
  }

  #close(): void {
    for (const port of PORTS) this.#sockets.close(port, port === 'writes');
  }
}

/** The three endpoints of a stock server, whose ports are in a row; undefined: it has no port. */
function portsOf(endpoint: string): Record<ClientPort, string> | undefined {
  const [, host, port] = /^(.+:)(\d+)$/.exec(endpoint) ?? [];
  if (host === undefined) return undefined;
  const at = (distance: number): string => host + String(Number(port) + distance);
  return { server: endpoint, updates: at(1), writes: at(2) };
}
