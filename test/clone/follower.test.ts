/** The follower half of a stream by itself: as the backup of a pair, and as a subscriber of messages. */
import { describe, expect, test } from 'vitest';
import type {
  BeginCommand,
  FollowCommand,
  FollowerOutput,
  ProgressCommand,
  StreamCommand,
  UpdateCommand,
} from '../../src/clone/commands.ts';
import { EMPTY_DIGEST } from '../../src/clone/digest.ts';
import {
  Follower,
  type FollowerOwner,
  type FollowerSettings,
} from '../../src/clone/stream/follower.ts';
import type { Instant } from '../../src/core/machine.ts';

const beats = { heartbeatInterval: 1000, heartbeatLiveness: 3 };

/** A follower whose owner notes what it is told. */
class FollowerStory {
  now: Instant = 1000;
  readonly follower: Follower;
  /** `update 3`, `item 0`, … and the events. */
  readonly told: string[] = [];
  readonly said: FollowerOutput[] = [];
  readonly sockets: string[] = [];
  /** What the owner answers. */
  fits = true;
  /** How much of each update it does not take yet. */
  withholds = 0;

  constructor(kind: FollowerSettings['kind'], settings: Partial<FollowerSettings> = {}) {
    const note = (text: string): boolean => {
      this.told.push(text);
      return this.fits;
    };
    const owner: FollowerOwner = {
      digest: EMPTY_DIGEST,
      handleBegin: (_now, { mode, sequence }) => void note(`${mode} @${sequence}`),
      handleItem: (_now, { index }) => note(`item ${index}`),
      handleWriter: (_now, { index }) => void note(`writer ${index}`),
      handleLineage: (_now, { reigns }) => void note(`lineage of ${reigns.length}`),
      handleUpdate: (_now, { sequence }, isLoading) => {
        this.follower.withhold(this.withholds);
        return note(`${isLoading ? 'loading ' : ''}update ${sequence}`);
      },
      handleEnd: (_now, { sequence }) => note(`end @${sequence}`),
      handleDiscard: () => void note('discard'),
      handleEvent: (_now, event) =>
        void note('reason' in event ? `${event.type} ${event.reason}` : event.type),
    };
    const socket = {
      open: (endpoint: string) => void this.sockets.push(`open ${endpoint}`),
      close: (flush: boolean) => void this.sockets.push(flush ? 'flush' : 'close'),
      send: (command: FollowerOutput) => this.said.push(command) > 0,
    };
    const common = {
      ...beats,
      subtree: '',
      window: 4096,
      writer: 'writer-1',
      reconnectInterval: 100,
      reconnectLimit: 1000,
      random: () => 1,
    };
    this.follower = new Follower(socket, { kind, ...common, ...settings }, owner);
  }

  hear(...commands: readonly StreamCommand[]): void {
    for (const command of commands) this.follower.handleCommand(this.now, command);
  }
  wait(milliseconds: number): void {
    const until = this.now + milliseconds;
    while (this.follower.nextTimeout <= until) {
      this.now = Math.max(this.now, this.follower.nextTimeout);
      this.follower.handleTimeout(this.now);
    }
    this.now = until;
  }
  take(): string[] {
    return this.told.splice(0);
  }
  get asked(): FollowCommand[] {
    return this.said.flatMap((command) => (command.type === 'follow' ? [command] : []));
  }
  get progress(): ProgressCommand[] {
    return this.said.flatMap((command) => (command.type === 'progress' ? [command] : []));
  }

  begin(mode: BeginCommand['mode'], sequence: number, epoch = 5): BeginCommand {
    const { stream } = this.asked.at(-1)!;
    return { type: 'begin', stream, mode, epoch, sequence, predecessor: sequence, ...beats };
  }
  update(sequence: number, bytes = 1): UpdateCommand {
    const { stream } = this.asked.at(-1)!;
    const value = [new Uint8Array(bytes)];
    const predecessor = sequence - 1;
    return { type: 'update', stream, sequence, predecessor, kind: 'set', key: '/a', value };
  }
  end(count: number, sequence: number): StreamCommand {
    const { stream } = this.asked.at(-1)!;
    const digest = EMPTY_DIGEST;
    return { type: 'end', stream, count, sequence, predecessor: sequence, digest };
  }
  beat(sequence: number, predecessor = sequence): StreamCommand {
    const { stream } = this.asked.at(-1)!;
    return { type: 'beat', stream, epoch: 5, sequence, predecessor, isCaughtUp: true };
  }
}

function following(): FollowerStory {
  const story = new FollowerStory('backup');
  story.follower.startFrom({ epoch: 5, sequence: 7 });
  story.follower.moveTo(story.now, 'a');
  return story;
}

function subscribed(sequence?: number): FollowerStory {
  const story = new FollowerStory('messages');
  const position = sequence === undefined ? undefined : { epoch: 5, sequence };
  story.follower.startFrom(position);
  story.follower.connect(story.now, ['a']);
  return story;
}

describe('a backup', () => {
  test('goes on from what it has, and says so', () => {
    const story = following();
    expect(story.asked).toMatchObject([{ isBackup: true, position: { epoch: 5, sequence: 7 } }]);
    story.hear(story.begin('continue', 7));
    expect(story.progress).toMatchObject([{ sequence: 7 }]);
    const reigns = [{ epoch: 5, base: 0 }];
    story.hear({ type: 'lineage', stream: 1, reigns }, story.update(8), story.beat(8));
    expect(story.take()).toEqual([
      'continue @7',
      'connected',
      'lineage of 1',
      'update 8',
      'synchronised',
    ]);
  });

  test('says that it has what it was told to acknowledge, and no more', () => {
    const story = following();
    story.hear(story.begin('continue', 7), story.update(8), story.update(9));
    story.wait(1);
    expect(story.progress.at(-1)).toMatchObject({ sequence: 7 });
    story.follower.acknowledge(story.now, 8);
    expect(story.progress.at(-1)).toMatchObject({ sequence: 8 });
    // Once more at the end of the turn, for all that came in it.
    const { length } = story.progress;
    story.follower.acknowledge(story.now, 9);
    story.follower.acknowledge(story.now, 10);
    expect(story.progress).toHaveLength(length);
    story.wait(1);
    expect(story.progress).toHaveLength(length + 1);
    expect(story.progress.at(-1)).toMatchObject({ sequence: 10 });
  });

  test('has nothing while a snapshot is under way: what it had is of no use', () => {
    const story = following();
    const value = [new Uint8Array(1)];
    story.hear(story.begin('snapshot', 3));
    expect(story.progress.at(-1)).toMatchObject({ sequence: 0 });
    const item = { type: 'item', stream: 1, index: 0, key: '/a', revision: 3, value } as const;
    story.hear(item, { type: 'writer', stream: 1, index: 1, writer: 'x', next: 2, done: [] });
    story.hear(story.update(4), story.end(2, 4));
    expect(story.take()).toEqual([
      'snapshot @3',
      'connected',
      'item 0',
      'writer 1',
      'loading update 4',
      'end @4',
      'snapshotLoaded',
    ]);
    expect(story.follower.position).toEqual({ epoch: 5, sequence: 4 });
    story.follower.acknowledge(story.now, 4);
    story.wait(1);
    expect(story.progress.at(-1)).toMatchObject({ sequence: 4 });
  });

  test('a missing writer is found as a missing item is', () => {
    const story = following();
    story.hear(story.begin('snapshot', 3));
    story.take();
    story.hear({ type: 'writer', stream: 1, index: 1, writer: 'x', next: 2, done: [] });
    expect(story.take()).toEqual(['discard', 'snapshotRefused gap']);
  });

  test('is synchronised although what it hears is ahead of what is public', () => {
    const story = following();
    story.hear(story.begin('continue', 7), story.update(8), story.beat(7));
    expect(story.follower.isSynchronised).toBe(true);
    expect(story.follower.position.sequence).toBe(8);
  });

  test('moves to another active server, and stays where it is already', () => {
    const story = following();
    story.hear(story.begin('continue', 7), story.beat(7));
    story.take();
    story.follower.moveTo(story.now, 'a');
    expect(story.sockets).toEqual(['open a']);
    story.follower.noteEpoch(6);
    story.follower.moveTo(story.now, 'b');
    expect(story.sockets).toEqual(['open a', 'flush', 'open b']);
    expect(story.take()).toEqual(['unsynchronised redirected', 'disconnected redirected']);
    expect(story.asked.at(-1)).toMatchObject({ stream: 2, epoch: 6 });
    // It is not what it was said to be.
    story.hear(story.begin('continue', 7, 5));
    expect(story.take()).toEqual(['ignored outdated', 'disconnected outdated']);
    story.follower.moveTo(story.now, '');
    expect(story.follower.nextTimeout).toBe(Infinity);
  });

  test('leaves one whose updates do not fit', () => {
    const story = following();
    story.hear(story.begin('continue', 7));
    story.take();
    story.fits = false;
    story.hear(story.update(8));
    expect(story.follower.position.sequence).toBe(7);
    expect(story.take()).toEqual(['update 8', 'snapshotRefused full', 'disconnected closed']);
  });
});

describe('a subscriber of messages', () => {
  test('without a position begins wherever the server is', () => {
    const story = subscribed();
    story.hear(story.begin('continue', 40), story.update(41), story.beat(41));
    expect(story.take()).toEqual(['continue @40', 'connected', 'update 41', 'synchronised']);
  });

  test('is told what is lost, and goes on from there', () => {
    const story = subscribed(7);
    story.hear(story.begin('lost', 20), story.update(21));
    expect(story.take()).toEqual(['lost @20', 'connected', 'update 21']);
    expect(story.follower.position.sequence).toBe(21);
  });

  test('takes no snapshot, nor a continuation of something else', () => {
    const story = subscribed(7);
    story.hear(story.begin('snapshot', 20));
    expect(story.take()).toEqual(['ignored unexpected']);
    story.hear(story.begin('continue', 8));
    expect(story.take()).toEqual(['ignored unexpected']);
    expect(story.follower.position.sequence).toBe(7);
  });

  test('gives no credit for what nobody has taken yet', () => {
    const story = subscribed(7);
    story.hear(story.begin('continue', 7));
    story.withholds = 1000;
    for (let sequence = 8; sequence < 11; sequence++) {
      story.now++;
      story.hear(story.update(sequence, 1000));
    }
    story.wait(1);
    expect(story.progress).toEqual([]);
    // It is no stall either: it is we who do not read.
    for (let count = 0; count < 5; count++) {
      story.hear({ ...story.beat(20), isCaughtUp: false } as StreamCommand);
      story.wait(1000);
    }
    expect(story.asked).toHaveLength(1);
    const before = story.progress.at(-1)!.received;
    story.follower.release(story.now, 3000);
    story.wait(1);
    expect(story.progress.at(-1)!.received).toBe(before + 3000);
  });
});

describe('asking', () => {
  test('one that says things, but not what it is asked for, is left', () => {
    const story = new FollowerStory('map');
    story.follower.connect(story.now, ['a']);
    for (let count = 0; count < 11; count++) {
      story.wait(1000);
      // Of another stream.
      story.hear({ ...story.update(1), stream: 77 });
    }
    expect(story.sockets).toEqual(['open a', 'close', 'open a']);
    expect(story.asked.map(({ stream }) => stream)).toEqual([...Array<number>(10).fill(1), 2]);
  });

  test('for an epoch that is none goes unanswered', () => {
    const story = new FollowerStory('map');
    story.follower.connect(story.now, ['a']);
    story.hear(story.begin('snapshot', 3, 2 ** 51));
    expect(story.take()).toEqual(['ignored unexpected']);
    expect(story.follower.phase).toBe('connecting');
  });
});
