/**
 * A machine seen from outside: the same inputs and outputs, with a look before and after each input.
 *
 * It checks on the way what holds for every machine: nothing throws, and after `handleTimeout(now)`
 * the next timeout lies in the future.
 */
import type { Address, Instant, Machine } from '../core/machine.ts';
import { requireThat, Violation } from './violation.ts';

/** One input of a machine, as watchers see it. */
export type Input<Port, Command, Call> =
  | {
      readonly kind: 'command';
      readonly port: Port;
      readonly from: Address;
      readonly command: Command;
    }
  | { readonly kind: 'malformed'; readonly port: Port; readonly from: Address }
  | { readonly kind: 'call'; readonly call: Call }
  | { readonly kind: 'peerGone'; readonly port: Port; readonly from: Address }
  | { readonly kind: 'writable'; readonly port: Port; readonly to: Address }
  | { readonly kind: 'stored'; readonly token: number }
  | { readonly kind: 'timeout' };

export interface Watcher<Port, Command, Call> {
  before?(now: Instant, input: Input<Port, Command, Call>): void;
  after?(now: Instant, input: Input<Port, Command, Call>): void;
}

export class WatchedMachine<Port extends string, Command, Call> implements Machine<
  Port,
  Command,
  Call
> {
  readonly #machine: Machine<Port, Command, Call>;
  readonly #watcher: Watcher<Port, Command, Call>;

  constructor(machine: Machine<Port, Command, Call>, watcher: Watcher<Port, Command, Call>) {
    this.#machine = machine;
    this.#watcher = watcher;
  }

  get nextTimeout(): Instant {
    return this.#machine.nextTimeout;
  }

  fingerprint(now: Instant): string {
    return this.#machine.fingerprint(now);
  }

  handleCommand(now: Instant, port: Port, from: Address, command: Command): void {
    this.#watch(now, { kind: 'command', port, from, command }, () =>
      this.#machine.handleCommand(now, port, from, command),
    );
  }

  handleMalformed(now: Instant, port: Port, from: Address, reason: string): void {
    this.#watch(now, { kind: 'malformed', port, from }, () =>
      this.#machine.handleMalformed(now, port, from, reason),
    );
  }

  handleCall(now: Instant, call: Call): void {
    this.#watch(now, { kind: 'call', call }, () => this.#machine.handleCall(now, call));
  }

  handlePeerGone(now: Instant, port: Port, from: Address): void {
    this.#watch(now, { kind: 'peerGone', port, from }, () =>
      this.#machine.handlePeerGone(now, port, from),
    );
  }

  handleWritable(now: Instant, port: Port, to: Address): void {
    this.#watch(now, { kind: 'writable', port, to }, () =>
      this.#machine.handleWritable(now, port, to),
    );
  }

  handleStored(now: Instant, token: number, error?: Error): void {
    this.#watch(now, { kind: 'stored', token }, () =>
      this.#machine.handleStored(now, token, error),
    );
  }

  handleTimeout(now: Instant): void {
    this.#watch(now, { kind: 'timeout' }, () => this.#machine.handleTimeout(now));
    requireThat(this.nextTimeout > now, 'nextTimeout lies in the future', () => {
      return `after handleTimeout(${now}) it is ${this.nextTimeout}`;
    });
  }

  #watch(now: Instant, input: Input<Port, Command, Call>, handle: () => void): void {
    this.#watcher.before?.(now, input);
    try {
      handle();
    } catch (error) {
      if (error instanceof Violation) throw error;
      const stack = error instanceof Error ? error.stack : String(error);
      throw new Violation('nothing throws', `on ${input.kind}: ${stack}`);
    }
    this.#watcher.after?.(now, input);
  }
}
