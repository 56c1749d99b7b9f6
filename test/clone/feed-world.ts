/**
 * A feed over a map, and those who follow it: each keeps a map of its own by the rules of the stream, and
 * complains about whatever a follower could not live with.
 */
import { encodeText } from '../../src/core/frames.ts';
import type { Address } from '../../src/core/machine.ts';
import {
  weightOf,
  type FollowCommand,
  type Position,
  type RedirectCommand,
  type StreamCommand,
} from '../../src/clone/commands.ts';
import { digestOf, equalDigests, RunningDigest } from '../../src/clone/digest.ts';
import { isUnder } from '../../src/clone/key.ts';
import { Entries } from '../../src/clone/server/entries.ts';
import { mapContent } from '../../src/clone/server/map-content.ts';
import { Publication } from '../../src/clone/server/publication.ts';
import { Voice } from '../../src/clone/server/voice.ts';
import type { CloneServerEvent } from '../../src/clone/server-events.ts';
import type { WriterState } from '../../src/clone/stream/content.ts';
import { Feed, type BackupWatch, type FeedSettings } from '../../src/clone/stream/feed.ts';
import { History, type HistoryBounds } from '../../src/clone/stream/history.ts';
import { Lineage } from '../../src/clone/stream/lineage.ts';
import { updateOf, type UpdateFields } from '../../src/clone/stream/update.ts';

export const FOLLOW: FollowCommand = {
  type: 'follow',
  stream: 1,
  subtree: '',
  window: 1_000_000,
  epoch: 0,
  isBackup: false,
  writer: 'writer-a',
  heartbeatInterval: 100,
  heartbeatLiveness: 3,
};

export class FeedWorld {
  readonly entries = new Entries();
  readonly history: History;
  readonly lineage = new Lineage();
  readonly feed: Feed;
  readonly publication: Publication;
  readonly events: CloneServerEvent[] = [];
  readonly readers = new Map<Address, Reader>();
  /** Those whose queue is full. */
  readonly full = new Set<Address>();
  readonly backup: string[] = [];
  writers: WriterState[] = [];
  now = 1000;

  constructor(settings: Partial<HistoryBounds & FeedSettings> = {}) {
    const complete = {
      historyLimit: 100,
      historyBytes: 1_000_000,
      followerLimit: 100,
      heartbeatInterval: 100,
      heartbeatLiveness: 3,
      ...settings,
    };
    this.history = new History(complete);
    this.lineage.begin(7, 0);
    const voice = new Voice({
      open: () => undefined,
      close: () => undefined,
      store: () => undefined,
      send: (_port, to, command) => this.#deliver(to, { ...command } as StreamCommand),
      emit: (event) => this.events.push(event),
    });
    const content = mapContent(this.entries, { snapshot: () => this.writers });
    const { history, lineage, entries } = this;
    this.feed = new Feed(voice, history, lineage, content, complete, this.#watch());
    this.publication = new Publication(entries, history, lineage, this.feed, voice, {
      changing: () => undefined,
      set: () => undefined,
      deleted: () => undefined,
      replaced: () => undefined,
      published: () => undefined,
      dropped: () => undefined,
    });
  }

  follow(address: Address, changes: Partial<FollowCommand> = {}): Reader {
    const command = { ...FOLLOW, ...changes };
    const reader = this.readers.get(address) ?? this.#readerOf(command);
    this.readers.set(address, reader);
    reader.begins(command);
    this.feed.follow(this.now, address, command);
    return reader;
  }

  accept(fields: Partial<UpdateFields> & { readonly key: string; readonly text?: string }): void {
    const kind = fields.kind ?? 'set';
    const sequence = this.history.accepted + 1;
    const value = kind === 'set' ? [encodeText(fields.text ?? `value ${sequence}`)] : [];
    this.feed.accept(this.now, updateOf({ ...fields, kind, sequence, value }));
  }

  publish(): void {
    while (this.history.published < this.history.accepted) this.publication.publish(this.now);
  }

  set(key: string, fields: Partial<UpdateFields> & { readonly text?: string } = {}): void {
    this.accept({ ...fields, key });
    this.publish();
  }

  delete(key: string): void {
    this.set(key, { kind: 'delete' });
  }

  clear(subtree: string): void {
    this.set(subtree, { kind: 'clear' });
  }

  /** All that has arrived at it is acknowledged. */
  progress(address: Address): void {
    const { stream, received, last } = this.readers.get(address)!;
    this.feed.progress(this.now, address, {
      type: 'progress',
      stream,
      received,
      sequence: last,
      epoch: 7,
    });
  }

  /** Time passes; whatever is due happens when it is. */
  pass(milliseconds: number): void {
    const end = this.now + milliseconds;
    while (this.feed.nextDue <= end) {
      this.now = Math.max(this.now, this.feed.nextDue);
      this.feed.handleTimeout(this.now);
      if (this.feed.nextDue <= this.now) throw new Error('a timeout is due again at once');
    }
    this.now = end;
  }

  writable(address: Address): void {
    this.full.delete(address);
    this.feed.handleWritable(this.now, address);
  }

  status(address: Address): ReturnType<Feed['followers']>[number] | undefined {
    return this.feed.followers().find((follower) => follower.address === address);
  }

  /** What is under a subtree, as a plain object. */
  contents(subtree = ''): Record<string, string> {
    const pairs = Array.from(this.entries.under(subtree), ({ key, revision, value }) => [
      key,
      `${revision} ${textOf(value)}`,
    ]);
    return Object.fromEntries(pairs) as Record<string, string>;
  }

  /** One with a position has what there was by then, and is there still. */
  #readerOf(command: FollowCommand): Reader {
    const reader = new Reader(command);
    const { sequence } = command.position ?? { sequence: 0 };
    for (const { key, value, revision } of this.entries.under(command.subtree)) {
      if (revision <= sequence) reader.map.set(key, { value, revision });
    }
    return reader;
  }

  #watch(): BackupWatch {
    return {
      admits: () => true,
      followed: () => this.backup.push('followed'),
      caughtUp: () => this.backup.push('caughtUp'),
      progress: (_now, sequence) => this.backup.push(`progress ${sequence}`),
      lost: (_now, reason) => this.backup.push(`lost ${reason}`),
    };
  }

  #deliver(to: Address, command: StreamCommand | RedirectCommand): boolean {
    if (this.full.has(to)) return false;
    this.readers.get(to)?.take(command);
    return true;
  }
}

interface Item {
  readonly value: Uint8Array;
  readonly revision: number;
}

/** One who follows. */
export class Reader {
  readonly log: string[] = [];
  readonly subtree: string;
  stream = 0;
  received = 0;
  /** The last update it has. */
  last = 0;
  /** As the last beat said, if it had nothing to object. */
  position: Position | undefined;
  map = new Map<string, Item>();
  isLoading = false;
  items = 0;
  snapshots = 0;
  writers: WriterState[] = [];

  constructor({ subtree }: FollowCommand) {
    this.subtree = subtree;
  }

  begins({ stream }: FollowCommand): void {
    if (stream !== this.stream) this.received = 0;
    this.stream = stream;
  }

  contents(): Record<string, string> {
    const pairs = Array.from(this.map, ([key, { revision, value }]) => [
      key,
      `${revision} ${textOf(value)}`,
    ]);
    return Object.fromEntries(pairs) as Record<string, string>;
  }

  take(command: StreamCommand | RedirectCommand): void {
    if (command.type === 'redirect') {
      this.log.push(`redirect ${command.endpoint}`);
      return;
    }
    if (command.stream !== this.stream) throw new Error(`stream ${command.stream}`);
    this.received += weightOf(command);
    switch (command.type) {
      case 'begin':
        this.log.push(`begin ${command.mode} ${command.predecessor}`);
        this.last = command.predecessor;
        this.isLoading = command.mode === 'snapshot';
        this.items = 0;
        this.writers = [];
        if (this.isLoading) this.map = new Map();
        break;
      case 'item':
        if (!this.isLoading || command.index !== this.items++) throw new Error('no such item');
        if (this.map.has(command.key)) throw new Error(`${command.key} comes twice`);
        this.map.set(command.key, { value: command.value[0]!, revision: command.revision });
        break;
      case 'writer':
        if (command.index !== this.items++) throw new Error('no such writer');
        this.writers.push({ writer: command.writer, next: command.next, done: command.done });
        break;
      case 'lineage':
        this.log.push('lineage');
        break;
      case 'end':
        this.log.push(`end ${command.count}`);
        if (command.count !== this.items || command.predecessor !== this.last) {
          throw new Error(`end ${command.count} after ${command.predecessor}`);
        }
        this.isLoading = false;
        this.snapshots++;
        this.#check(command.digest);
        break;
      case 'update':
        this.#update(command);
        break;
      case 'beat':
        this.log.push(`beat ${command.sequence}${command.isCaughtUp ? '' : ' behind'}`);
        if (command.predecessor !== this.last) throw new Error(`beat of ${command.predecessor}`);
        if (command.digest !== undefined) this.#check(command.digest);
        if (command.isCaughtUp) {
          this.position = { epoch: command.epoch, sequence: command.sequence };
        }
    }
  }

  #update(command: Extract<StreamCommand, { type: 'update' }>): void {
    const { sequence, predecessor, kind, key, value } = command;
    this.log.push(`${kind} ${key} ${sequence} after ${predecessor}`);
    if (predecessor !== this.last) throw new Error(`${sequence} after ${predecessor}`);
    this.last = sequence;
    if (kind === 'set') this.map.set(key, { value: value[0]!, revision: sequence });
    else if (kind === 'delete') this.map.delete(key);
    else for (const one of this.map.keys()) if (isUnder(key, one)) this.map.delete(one);
  }

  #check(digest: { readonly high: number; readonly low: number }): void {
    const own = new RunningDigest();
    for (const [key, { revision, value }] of this.map) own.add(digestOf(key, revision, value));
    if (!equalDigests(own.value, digest)) throw new Error('another digest');
  }
}

function textOf(value: Uint8Array): string {
  return Buffer.from(value).toString();
}
