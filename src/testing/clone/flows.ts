/** What is on its way to each follower of a server, by what was really said and heard: never more than it has room for. */
import type { Address } from '../../core/machine.ts';
import type { FollowCommand, ProgressCommand, StreamCommand } from '../../clone/commands.ts';
import { requireThat } from '../violation.ts';

/** Weight of what has neither key nor value, about. */
const SMALL = 64;

/** What may be said without room, beside heartbeats: that a stream begins, goes on, and ends. */
const UNPAID = 6;

interface Flow {
  readonly stream: number;
  readonly window: number;
  readonly isBackup: boolean;
  sent: number;
  received: number;
}

export class Flows {
  readonly #allowance: number;
  /** What was asked for last, by each address; and what is being sent. */
  readonly #asked = new Map<Address, FollowCommand>();
  readonly #flows = new Map<Address, Flow>();

  constructor(heartbeatLiveness: number) {
    this.#allowance = SMALL * (heartbeatLiveness + UNPAID);
  }

  asked(from: Address, { ...command }: FollowCommand): void {
    // Another writer at the same address begins anew, whatever number its stream has.
    if (this.#asked.get(from)?.writer !== command.writer) this.#flows.delete(from);
    this.#asked.set(from, command);
  }

  received(from: Address, { stream, received }: ProgressCommand): void {
    const flow = this.#flows.get(from);
    if (flow?.stream !== stream) return;
    flow.received = Math.max(flow.received, Math.min(received, flow.sent));
  }

  gone(from: Address): void {
    this.#flows.delete(from);
  }

  isBackup(to: Address): boolean {
    return this.#flows.get(to)?.isBackup === true;
  }

  sent(to: Address, command: StreamCommand, weight: number): void {
    let flow = this.#flows.get(to);
    if (flow?.stream !== command.stream) {
      const asked = this.#asked.get(to);
      if (asked?.stream !== command.stream) return;
      const { stream, window, isBackup } = asked;
      flow = { stream, window, isBackup, sent: 0, received: 0 };
      this.#flows.set(to, flow);
    }
    const { sent, received, window } = flow;
    // A sign of life is small, and needs no room: who never reads is given up before they are many.
    const isFree = command.type === 'beat';
    requireThat(
      isFree || sent - received <= window + this.#allowance,
      'slow ones delay nobody',
      () => {
        return `a ${command.type} is sent to one that has ${sent - received} of ${window} bytes to read`;
      },
    );
    flow.sent += weight;
  }
}
