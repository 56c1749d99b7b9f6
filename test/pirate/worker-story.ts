/** A Pirate worker's machine, driven by hand. */
import type { PirateProtocol, WorkerInput, WorkerOutput } from '../../src/pirate/commands.ts';
import {
  WorkerMachine,
  type WorkerCall,
  type WorkerEvent,
  type WorkerPort,
  type WorkerSettings,
} from '../../src/pirate/worker-machine.ts';
import { Actor, body, textOf } from '../actor.ts';

/** Settings with short times; a simple worker's queue never counts as silent. */
export function settingsOf(protocol: PirateProtocol): WorkerSettings {
  const never = { heartbeatInterval: Infinity, heartbeatLiveness: Infinity };
  return {
    protocol,
    ...(protocol === 'simple' ? never : { heartbeatInterval: 100, heartbeatLiveness: 3 }),
    reconnectInterval: 50,
    reconnectLimit: 200,
    random: () => 1,
  };
}

export class WorkerStory extends Actor<
  WorkerPort,
  WorkerInput,
  WorkerOutput,
  WorkerCall,
  WorkerEvent
> {
  declare readonly machine: WorkerMachine;

  constructor(protocol: PirateProtocol = 'paranoid') {
    super((outbox) => new WorkerMachine(outbox, settingsOf(protocol)));
  }

  connect(...endpoints: string[]): void {
    this.call({ type: 'connect', endpoints });
  }
  hear(command: WorkerInput): void {
    this.machine.handleCommand(this.now, 'queue', '', command);
  }
  beat(): void {
    this.hear({ type: 'heartbeat' });
  }
  give(text: string, ...stack: string[]): void {
    this.hear({ type: 'dispatch', stack: body(...stack), body: body(text) });
  }
  reply(token: number, text: string): void {
    this.call({ type: 'reply', token, body: body(text) });
  }
  linkBreaks(): void {
    this.machine.handlePeerGone(this.now);
  }
  writable(): void {
    this.full.clear();
    this.machine.handleWritable(this.now);
  }
  /** What was said but heartbeats: `ready`, or `stack…|` and the body of a result. */
  get said(): string[] {
    return this.sent.flatMap(({ command }) => {
      if (command.type === 'heartbeat') return [];
      if (command.type === 'ready') return ['ready'];
      return [
        `${(command.stack ?? []).map((frame) => `${textOf([frame])}: `).join('')}${textOf(command.body)}`,
      ];
    });
  }
  get beats(): number {
    return this.sent.filter(({ command }) => command.type === 'heartbeat').length;
  }
}

/** A worker whose queue has been heard, or, if it is simple, says nothing. */
export function active(protocol: PirateProtocol = 'paranoid', ...endpoints: string[]): WorkerStory {
  const worker = new WorkerStory(protocol);
  worker.connect('tcp://a', ...endpoints);
  if (protocol === 'paranoid') worker.beat();
  return worker;
}
