/** The queue's machine, driven by hand. */
import type { Address, Frames } from '../../src/core/machine.ts';
import type { QueueInput, QueueOutput, QueuePort } from '../../src/pirate/commands.ts';
import type { QueueEvent } from '../../src/pirate/queue-events.ts';
import {
  QueueMachine,
  type QueueCall,
  type QueueSettings,
} from '../../src/pirate/queue-machine.ts';
import { Actor, body, textOf } from '../actor.ts';

export const storySettings: QueueSettings = {
  protocol: 'paranoid',
  heartbeatInterval: 100,
  heartbeatLiveness: 3,
  maxAttempts: 3,
  attemptTimeout: 5000,
  requestTtl: 10_000,
  queueLimit: 100,
  queueBytes: 100_000,
  workerLimit: 10,
  noticeGrace: 30,
  random: () => 0,
};

/** What makes of these settings those of a simple queue. */
export const SIMPLE = { protocol: 'simple', heartbeatInterval: Infinity } as const;

export class QueueStory extends Actor<QueuePort, QueueInput, QueueOutput, QueueCall, QueueEvent> {
  declare readonly machine: QueueMachine;

  constructor(settings: Partial<QueueSettings> = {}) {
    super((outbox) => new QueueMachine(outbox, { ...storySettings, ...settings }));
  }

  hear(worker: Address, command: QueueInput): void {
    this.machine.handleCommand(this.now, 'backend', worker, command);
  }
  ready(...workers: Address[]): void {
    for (const worker of workers) this.hear(worker, { type: 'ready' });
  }
  beat(worker: Address): void {
    this.hear(worker, { type: 'heartbeat' });
  }
  /** @param stack null: the client writes no empty frame */
  request(client: Address, text: string, stack: Frames | null = []): void {
    const command = { type: 'request', stack: stack ?? undefined, body: body(text) } as const;
    this.machine.handleCommand(this.now, 'frontend', client, command);
  }
  /** The stacks that a worker was given, in order. */
  stacksOf(worker: Address): Frames[] {
    return this.sent.flatMap(({ to, command }) =>
      to === worker && command.type === 'dispatch' ? [command.stack ?? []] : [],
    );
  }
  /** The worker answers: what it was given last, or with this stack. */
  answer(worker: Address, text: string, stack = this.stacksOf(worker).at(-1)): void {
    if (stack === undefined) throw new Error(`${worker} was given nothing`);
    this.hear(worker, { type: 'result', stack, body: body(text) });
  }
  gone(port: QueuePort, peer: Address): void {
    this.machine.handlePeerGone(this.now, port, peer);
  }
  writable(worker: Address): void {
    this.full.delete(worker);
    this.machine.handleWritable(this.now, 'backend', worker);
  }
  /** Time passes in which these workers beat. */
  waitWith(workers: readonly Address[], milliseconds: number): void {
    for (let waited = 0; waited < milliseconds; waited += 100) {
      this.wait(Math.min(100, milliseconds - waited));
      for (const worker of workers) this.beat(worker);
    }
  }
  /** `worker < text` for what was given out, `client = text` for replies. */
  get traffic(): string[] {
    return this.sent.flatMap(({ to, command }) => {
      if (command.type === 'heartbeat') return [];
      return [`${to} ${command.type === 'dispatch' ? '<' : '='} ${textOf(command.body)}`];
    });
  }
  /** Who was beaten to, in order. */
  get beats(): string[] {
    return this.sent.flatMap(({ to, command }) => (command.type === 'heartbeat' ? [to] : []));
  }
}
