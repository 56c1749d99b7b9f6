/** A client of a stock server on a recording outbox. What the server says is what a story lets it hear. */
import assert from 'node:assert/strict';
import { ChpClientMachine } from '../../src/clone/client/chp-client-machine.ts';
import type { ClientSettings } from '../../src/clone/client/client-machine.ts';
import type { ClientCall, ClientPort, CloneClientEvent } from '../../src/clone/client-events.ts';
import type { ChpClientInput, ChpClientOutput, KvsetCommand } from '../../src/clone/commands.ts';
import { decodeText, encodeText } from '../../src/core/frames.ts';

type WriteCall = Extract<ClientCall, { readonly type: 'write' }>;

export const CHP_SETTINGS: ClientSettings = {
  heartbeatInterval: 1000,
  heartbeatLiveness: 3,
  subtree: '',
  window: 4096,
  inFlightLimit: 3,
  queueLimit: 4,
  queueBytes: 100_000,
  keyLimit: 1000,
  stateBytes: 1_000_000,
  reconnectInterval: 100,
  reconnectLimit: 5000,
  random: () => 1,
  writer: 'writer-1',
};

export class ChpStory {
  now = 1000;
  /** How much more goes out to the server. */
  room = Infinity;
  readonly machine: ChpClientMachine;
  readonly sets: KvsetCommand[] = [];
  /** What it did to its sockets, and asked for. */
  readonly done: string[] = [];
  readonly events: CloneClientEvent[] = [];
  #token = 0;

  constructor(settings: Partial<ClientSettings> = {}) {
    this.machine = new ChpClientMachine(
      {
        open: (port, endpoint) => void this.done.push(`open ${port} ${endpoint}`),
        close: (port) => void this.done.push(`close ${port}`),
        send: (port, _to, command) => this.#send(port, command),
        store: () => undefined,
        emit: (event) => void this.events.push(event),
      },
      { ...CHP_SETTINGS, ...settings },
    );
  }

  connect(...endpoints: string[]): void {
    this.call({ type: 'connect', endpoints });
  }

  call(call: ClientCall): void {
    this.machine.handleCall(this.now, call);
  }

  /** Returns the token. */
  write(options: Partial<WriteCall> & { readonly text?: string } = {}): number {
    const token = this.#token++;
    const { text, ...rest } = options;
    const value = (rest.kind ?? 'set') === 'set' ? encodeText(text ?? 'v') : undefined;
    const common = { ttl: undefined, ifMatch: undefined, timeout: 30_000 };
    this.call({ type: 'write', token, kind: 'set', key: '/a', value, ...common, ...rest });
    return token;
  }

  hear(port: ClientPort, command: ChpClientInput): void {
    this.machine.handleCommand(this.now, port, '', command);
  }

  item(key: string, text: string, sequence = 1): void {
    this.hear('server', { type: 'kvsync', key, sequence, value: encodeText(text) });
  }

  /** The snapshot is complete. */
  end(sequence: number): void {
    this.hear('server', { type: 'kthxbai', sequence, subtree: '' });
  }

  update(sequence: number, key: string, text: string, uuid = ''): void {
    this.hear('updates', { type: 'kvpub', key, sequence, uuid, value: encodeText(text) });
  }

  beat(sequence: number): void {
    this.hear('updates', { type: 'hugz', sequence });
  }

  /** Time passes; with a sequence the server beats all the while. */
  wait(milliseconds: number, sequence?: number): void {
    const until = this.now + milliseconds;
    let beatAt = sequence === undefined ? Infinity : this.now + 1000;
    for (;;) {
      const next = Math.min(this.machine.nextTimeout, beatAt);
      if (next > until) break;
      this.now = Math.max(this.now, next);
      if (next === beatAt) {
        this.beat(sequence!);
        beatAt += 1000;
      } else {
        this.machine.handleTimeout(this.now);
        assert(this.machine.nextTimeout > this.now);
      }
    }
    this.now = until;
  }

  get view(): string {
    const items = [...this.machine.replica];
    return items.map(([key, { value }]) => `${key}=${decodeText(value)}`).join(' ');
  }

  get state(): string {
    return this.machine.status().state;
  }

  /** What happened, each as a word or two; forgets it. */
  take(): string[] {
    return this.events.splice(0).map((event) => {
      if (event.type === 'written') return `${event.token} ${event.outcome}`;
      return 'reason' in event ? `${event.type} ${event.reason}` : event.type;
    });
  }

  takeDone(): string[] {
    return this.done.splice(0);
  }

  /** What was written, as `key=text`; forgets it. */
  takeSets(): string[] {
    return this.sets.splice(0).map(({ key, value }) => `${key}=${decodeText(value)}`);
  }

  #send(port: ClientPort, command: ChpClientOutput): boolean {
    if (this.room <= 0) return false;
    this.room--;
    if (command.type === 'kvset') this.sets.push(command);
    else this.done.push(`${port} < icanhaz '${command.subtree}'`);
    return true;
  }
}

/** A client that is synchronised with a server which has `/a=1` and `/b=2`, at 5. */
export function synchronised(settings: Partial<ClientSettings> = {}): ChpStory {
  const story = new ChpStory(settings);
  story.connect('tcp://one:5556');
  story.item('/a', '1');
  story.item('/b', '2');
  story.end(5);
  story.beat(5);
  story.take();
  story.takeDone();
  return story;
}
