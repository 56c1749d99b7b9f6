/** Where a shell runs: real sockets, real time and real randomness, or a test's own. */
import type { Random } from '../core/retry.ts';
import { processBeacon, type Beacon } from './beacon.ts';
import { systemClock } from './system-clock.ts';
import type { Clock, Transport } from './transport.ts';
import { zeromqTransport } from './zeromq.ts';

export interface Environment {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  /** Speaks for sessions while the event loop is blocked, where there is one. */
  readonly beacon?: Beacon | undefined;
}

let system: Environment | undefined;

/** The real one, made at first use and shared by all shells of the process. */
export function systemEnvironment(): Environment {
  system ??= {
    transport: zeromqTransport(),
    clock: systemClock,
    random: Math.random,
    beacon: processBeacon(),
  };
  return system;
}
