/**
 * A Clone client's machine on a recording outbox, and a server of a few lines to tell its stories with: a
 * map, a history, and nothing else. What it says reaches the client only where a story hands it over.
 */
import { ClientMachine, type ClientSettings } from '../../src/clone/client/client-machine.ts';
import type { ClientCall, CloneClientEvent, WriteOutcome } from '../../src/clone/client-events.ts';
import type {
  BeatCommand,
  BeginCommand,
  Digest,
  EndCommand,
  FollowCommand,
  FollowerInput,
  FollowerOutput,
  ItemCommand,
  ProgressCommand,
  ResultCommand,
  UpdateCommand,
  WriteCommand,
  WriteKind,
} from '../../src/clone/commands.ts';
import { digestOf, RunningDigest } from '../../src/clone/digest.ts';
import { isUnder, overlap } from '../../src/clone/key.ts';
import { decodeText, encodeText } from '../../src/core/frames.ts';
import type { Instant } from '../../src/core/machine.ts';

const beats = { heartbeatInterval: 1000, heartbeatLiveness: 3 };

interface Change {
  readonly sequence: number;
  readonly kind: WriteKind;
  readonly key: string;
  readonly text: string;
}

/** The truth: what a server that does nothing wrong has, and says. */
export class PlainServer {
  epoch: number;
  subtree = '';
  /** Of the stream that the client follows. */
  stream = 1;
  sequence = 0;
  readonly map = new Map<string, { readonly text: string; readonly revision: number }>();
  readonly history: Change[] = [];
  /** The map as text after each sequence, in the client's subtree. */
  readonly views: string[] = [''];

  constructor(epoch = 5) {
    this.epoch = epoch;
  }

  /** Another server with the same state. */
  successor(epoch: number): PlainServer {
    const other = new PlainServer(epoch);
    other.subtree = this.subtree;
    for (const { kind, key, text } of this.history) other.change(kind, key, text);
    return other;
  }

  set(key: string, text: string): UpdateCommand {
    return this.change('set', key, text);
  }

  delete(key: string): UpdateCommand {
    return this.change('delete', key);
  }

  clear(subtree: string): UpdateCommand {
    return this.change('clear', subtree);
  }

  change(kind: WriteKind, key: string, text = ''): UpdateCommand {
    const change = { sequence: ++this.sequence, kind, key, text };
    this.history.push(change);
    if (kind === 'set') this.map.set(key, { text, revision: this.sequence });
    else for (const each of this.map.keys()) if (concerns(change, each)) this.map.delete(each);
    this.views.push(this.view);
    return this.update(change);
  }

  /** What the client should show. */
  get view(): string {
    return show([...this.map].filter(([key]) => isUnder(this.subtree, key)));
  }

  /** The last change under the subtree, before `sequence` at the latest. */
  last(sequence = this.sequence): number {
    const known = this.history.findLast((change) => {
      return change.sequence <= sequence && this.#isFollowed(change);
    });
    return known?.sequence ?? 0;
  }

  /** What followed after this position, in the subtree. */
  after(sequence: number): UpdateCommand[] {
    return this.history
      .filter((change) => change.sequence > sequence && this.#isFollowed(change))
      .map((change) => this.update(change));
  }

  update({ sequence, kind, key, text }: Change): UpdateCommand {
    const predecessor = this.last(sequence - 1);
    const value = kind === 'set' ? [encodeText(text)] : [];
    return { type: 'update', stream: this.stream, sequence, predecessor, kind, key, value };
  }

  begin(mode: BeginCommand['mode'], sequence = this.sequence): BeginCommand {
    const { stream, epoch } = this;
    const predecessor = this.last(sequence);
    return { type: 'begin', stream, mode, epoch, sequence, predecessor, ...beats };
  }

  items(): ItemCommand[] {
    const followed = [...this.map].filter(([key]) => isUnder(this.subtree, key));
    return followed.map(([key, { text, revision }], index) => {
      return { type: 'item', stream: this.stream, index, key, revision, value: [encodeText(text)] };
    });
  }

  end(count = this.items().length): EndCommand {
    const { stream, sequence, digest } = this;
    return { type: 'end', stream, count, sequence, predecessor: this.last(), digest };
  }

  beat(isCaughtUp = true): BeatCommand {
    const { stream, epoch, sequence, digest } = this;
    const predecessor = this.last();
    return { type: 'beat', stream, epoch, sequence, predecessor, digest, isCaughtUp };
  }

  /** All of the map, as a stream. */
  snapshot(): FollowerInput[] {
    return [this.begin('snapshot'), ...this.items(), this.end(), this.beat()];
  }

  /** All that followed after this position. */
  continuation(sequence: number): FollowerInput[] {
    return [this.begin('continue', sequence), ...this.after(sequence), this.beat()];
  }

  get digest(): Digest {
    const digest = new RunningDigest();
    for (const [key, { text, revision }] of this.map) {
      if (isUnder(this.subtree, key)) digest.add(digestOf(key, revision, encodeText(text)));
    }
    return digest.value;
  }

  #isFollowed({ kind, key }: Change): boolean {
    return kind === 'clear' ? overlap(this.subtree, key) : isUnder(this.subtree, key);
  }
}

function concerns({ kind, key }: Change, other: string): boolean {
  return kind === 'clear' ? isUnder(key, other) : key === other;
}

function show(entries: readonly (readonly [string, { readonly text: string }])[]): string {
  return entries
    .map(([key, { text }]) => `${key}=${text}`)
    .toSorted()
    .join(' ');
}

export class ClientStory {
  now: Instant = 1000;
  readonly events: CloneClientEvent[] = [];
  /** What it said to the server that it was connected to then. */
  readonly said: { readonly to: string; readonly command: FollowerOutput }[] = [];
  /** `open a`, `close a`, `flush a`. */
  readonly sockets: string[] = [];
  readonly machine: ClientMachine;
  /** The number of the stream that it asked for last. */
  stream = 0;
  /** How much more the outgoing queue takes. */
  room = Infinity;
  #at = '';
  #token = 0;

  constructor(settings: Partial<ClientSettings> = {}) {
    this.machine = new ClientMachine(
      {
        open: (_port, endpoint) => {
          this.#at = endpoint;
          this.sockets.push(`open ${endpoint}`);
        },
        close: (_port, flush) => {
          this.sockets.push(`${flush === true ? 'flush' : 'close'} ${this.#at}`);
        },
        send: (_port, _to, command) => {
          if (this.room <= 0) return false;
          this.room--;
          if (command.type === 'follow') this.stream = command.stream;
          this.said.push({ to: this.#at, command });
          return true;
        },
        store: () => {},
        emit: (event) => void this.events.push(event),
      },
      {
        ...beats,
        subtree: '',
        window: 4096,
        inFlightLimit: 10,
        queueLimit: 10,
        queueBytes: 100_000,
        keyLimit: 1000,
        stateBytes: 1_000_000,
        reconnectInterval: 100,
        reconnectLimit: 5000,
        random: () => 1,
        writer: 'writer-1',
        ...settings,
      },
    );
  }

  call(call: ClientCall): void {
    this.machine.handleCall(this.now, call);
  }
  connect(...endpoints: string[]): void {
    this.call({ type: 'connect', endpoints });
  }
  watch(isWatched = true): void {
    this.call({ type: 'watch', isWatched });
  }
  /** Returns the token. */
  write(options: Partial<Extract<ClientCall, { type: 'write' }>> & { text?: string } = {}): number {
    const token = this.#token++;
    const { text, ...rest } = options;
    const kind = rest.kind ?? 'set';
    this.call({
      type: 'write',
      token,
      kind,
      key: '/a',
      ttl: undefined,
      ifMatch: undefined,
      value: kind === 'set' ? encodeText(text ?? 'x') : undefined,
      timeout: 30_000,
      ...rest,
    });
    return token;
  }
  set(key: string, text: string, options: { timeout?: number } = {}): number {
    return this.write({ key, text, ...options });
  }

  /** The server says this. */
  hear(...commands: readonly FollowerInput[]): void {
    for (const command of commands) this.machine.handleCommand(this.now, 'server', '', command);
  }
  done(number: number, revision: number, isReplicated = true): void {
    const result: ResultCommand = { type: 'result', number, revision, isReplicated };
    this.hear(result);
  }
  gone(): void {
    this.machine.handlePeerGone(this.now, 'server');
  }
  /** Its server is gone for good: it has tried it once more, and is connected to the next one. */
  goOn(): void {
    this.gone();
    this.wait(10 + 200 + 100);
  }
  writable(room = Infinity): void {
    this.room = room;
    this.machine.handleWritable(this.now, 'server');
  }

  /** Time passes; with `server` it beats all the while. */
  wait(milliseconds: number, server?: PlainServer): void {
    const until = this.now + milliseconds;
    let beatAt = server === undefined ? Infinity : this.now + beats.heartbeatInterval;
    for (;;) {
      const next = Math.min(this.machine.nextTimeout, beatAt);
      if (next > until) break;
      this.now = Math.max(this.now, next);
      if (beatAt <= this.now) {
        beatAt = this.now + beats.heartbeatInterval;
        this.hear(server!.beat());
      }
      if (this.machine.nextTimeout <= this.now) this.machine.handleTimeout(this.now);
    }
    this.now = until;
  }

  /** `a < follow 1 @5:7`. */
  get asked(): string[] {
    return this.follows.map(({ to, command: { stream, position } }) => {
      const from = position === undefined ? '' : ` @${position.epoch}:${position.sequence}`;
      return `${to} < follow ${stream}${from}`;
    });
  }
  get follows(): { readonly to: string; readonly command: FollowCommand }[] {
    return this.said.filter((each): each is { to: string; command: FollowCommand } => {
      return each.command.type === 'follow';
    });
  }
  get progress(): ProgressCommand[] {
    return this.said.flatMap(({ command }) => (command.type === 'progress' ? [command] : []));
  }
  get writes(): WriteCommand[] {
    return this.said.flatMap(({ command }) => (command.type === 'write' ? [command] : []));
  }
  /** `1^1 set /a=x`: number, floor, what. */
  get written(): string[] {
    return this.writes.map(({ number, floor, kind, key, value: [bytes] }) => {
      return `${number}^${floor} ${kind} ${key}${bytes === undefined ? '' : `=${decodeText(bytes)}`}`;
    });
  }
  /** `0 done @7`, `1 conflict`, `2 timeout maybe`, in the order in which they came. */
  get outcomes(): string[] {
    return this.told('written').map((event) => `${event.token} ${describe(event)}`);
  }
  /** What the client shows. */
  get view(): string {
    const entries = [...this.machine.replica].map(([key, { value }]) => {
      return [key, { text: decodeText(value) }] as const;
    });
    return show(entries);
  }
  told<Type extends CloneClientEvent['type']>(
    type: Type,
  ): Extract<CloneClientEvent, { type: Type }>[] {
    return this.events.filter(
      (event): event is Extract<CloneClientEvent, { type: Type }> => event.type === type,
    );
  }
  /** What happened; forgets it, and what was said. */
  takeEvents(): string[] {
    const all = this.events.splice(0).map((event) => {
      return 'reason' in event ? `${event.type} ${event.reason}` : event.type;
    });
    this.said.length = 0;
    return all;
  }
  get state(): string {
    return this.machine.status().state;
  }
}

function describe(event: WriteOutcome): string {
  if (event.outcome === 'done') return `done @${event.revision}`;
  if (event.outcome === 'refused') return event.refusal;
  if (event.outcome === 'queueFull') return event.outcome;
  return `${event.outcome}${event.maybeDone ? ' maybe' : ''}`;
}

/** A client that is synchronised with a server at `a` which has `/a=1` and `/b=2`. */
export function synchronised(
  settings: Partial<ClientSettings> = {},
  endpoints: readonly string[] = ['a'],
): { readonly client: ClientStory; readonly server: PlainServer } {
  const server = new PlainServer();
  server.subtree = settings.subtree ?? '';
  server.set('/a', '1');
  server.set('/b', '2');
  const client = new ClientStory(settings);
  client.connect(...endpoints);
  client.hear(...server.snapshot());
  client.takeEvents();
  client.sockets.length = 0;
  return { client, server };
}
