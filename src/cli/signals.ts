/** SIGINT and SIGTERM: the first asks a command to finish, the second ends it at once. */
import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
type StopSignal = (typeof SIGNALS)[number];

/** Why a command was cut short. */
export class Interrupted extends Error {
  readonly signalName: StopSignal;

  constructor(signalName: StopSignal) {
    super(`interrupted by ${signalName} before it was done`);
    this.signalName = signalName;
  }

  /** What shells make of a process that a signal ended: 130 for SIGINT, 143 for SIGTERM. */
  get exitCode(): number {
    return 128 + constants.signals[this.signalName];
  }
}

export interface Stop {
  /** Aborts at the first signal, with an `Interrupted` as its reason. */
  readonly signal: AbortSignal;
  /** Resolves at the first signal. */
  readonly requested: Promise<Interrupted>;
}

/** Begins to listen. Until the first signal the command is as it is without. */
export function listenForStop(): Stop {
  const controller = new AbortController();
  const requested = new Promise<Interrupted>((resolve) => {
    for (const name of SIGNALS) {
      process.on(name, () => {
        const reason = new Interrupted(name);
        // Sockets are open, and that is the point: who asks twice does not want to wait for them.
        if (controller.signal.aborted) process.exit(reason.exitCode);
        controller.abort(reason);
        resolve(reason);
      });
    }
  });
  return { signal: controller.signal, requested };
}

/** A signal ends requests and reads with errors of their own, which name it as their cause. */
export function interruptionBehind(error: unknown): Interrupted | undefined {
  if (error instanceof Interrupted) return error;
  return error instanceof Error && error.cause instanceof Interrupted ? error.cause : undefined;
}
