/** The checkers of the Clone suite: each of its invariants is broken once by a made-up machine, and noticed. */
import { expect, test } from 'vitest';
import { encodeText } from '../../src/core/frames.ts';
import type { CloneClientStatus } from '../../src/clone/client-events.ts';
import type {
  BeginCommand,
  FollowCommand,
  FollowerInput,
  Position,
} from '../../src/clone/commands.ts';
import { ClientChecker } from '../../src/testing/clone/client-checker.ts';
import { ServerChecker, type KeptUpdate } from '../../src/testing/clone/server-checker.ts';
import { CloneStage } from '../../src/testing/clone/stage.ts';
import { TrueReign, type Item } from '../../src/testing/clone/truth.ts';
import { valueOf, type Write } from '../../src/testing/clone/writes.ts';
import { Violation } from '../../src/testing/violation.ts';
import { quietPlan } from './quiet-plan.ts';

const EPOCH = 7;

const FOLLOW: FollowCommand = {
  type: 'follow',
  stream: 1,
  subtree: '',
  window: 1000,
  epoch: 0,
  isBackup: false,
  writer: 'writer00',
  heartbeatInterval: 40,
  heartbeatLiveness: 3,
};

const BEGIN: BeginCommand = {
  type: 'begin',
  stream: 1,
  mode: 'continue',
  epoch: EPOCH,
  sequence: 0,
  predecessor: 0,
  heartbeatInterval: 40,
  heartbeatLiveness: 3,
};

/** A server and a replica that do as they are told, right or wrong. */
class Rig {
  readonly stage = new CloneStage(quietPlan(['']));
  readonly items = new Map<string, Item>();
  readonly updates: KeptUpdate[] = [];
  readonly server: ServerChecker;
  readonly replica = new Map<string, Item>();
  readonly client: ClientChecker;
  published = 0;
  position: Position = { epoch: 0, sequence: 0 };

  constructor() {
    this.server = new ServerChecker(this.stage, 'server-0', () => ({
      position: { epoch: EPOCH, sequence: this.published },
      size: this.items.size,
      entries: () => this.items,
      published: this.published,
      accepted: this.updates.length,
      update: (sequence) => this.updates[sequence - 1],
      item: () => undefined,
    }));
    this.server.built();
    this.server.told({ type: 'becameActive', epoch: EPOCH, sequence: 0 });
    const status = (): CloneClientStatus => ({
      state: 'synchronised',
      redirectedTo: '',
      endpoint: '',
      epoch: EPOCH,
      position: this.position,
      digest: { high: 0, low: 0 },
      size: this.replica.size,
      pending: 0,
      events: {},
    });
    const shown = { replica: this.replica, status };
    this.client = new ClientChecker(this.stage, 'client-0', '', () => shown);
    this.hear(BEGIN);
  }

  hear(command: FollowerInput): void {
    const step = { kind: 'command', port: 'server', from: '', command } as const;
    if (command.type === 'begin') this.client.said('server', '', FOLLOW, true);
    this.client.before(0, step);
    this.client.after(0, step);
  }

  asked(fields: Partial<Write> = {}): Write {
    const request = { writer: 'client-0.1', kind: 'set', key: '/a/1', ifMatch: undefined } as const;
    return this.stage.writes.asked({ ...request, ...fields });
  }

  /** The server does it, and publishes. */
  serve(write: Write, fields: Partial<KeptUpdate> = {}): void {
    const sequence = this.updates.length + 1;
    const { kind, key } = write;
    const value = kind === 'set' ? [valueOf(write, 0)] : [];
    const update: KeptUpdate = {
      sequence,
      kind,
      key,
      value,
      ttl: undefined,
      origin: undefined,
      isExpiry: false,
      ...fields,
    };
    this.updates.push(update);
    this.published = sequence;
    if (kind === 'set') this.items.set(update.key, { value: value[0]!, revision: sequence });
    else this.items.delete(key);
    const { isExpiry } = update;
    this.server.told({
      type: 'published',
      sequence: update.sequence,
      kind,
      key: update.key,
      isExpiry,
    });
    this.server.after(0, { kind: 'timeout' });
  }

  /** The replica is as the server. */
  follow(): void {
    this.server.after(0, { kind: 'timeout' });
    for (const [key, item] of this.items) {
      if (this.replica.get(key)?.revision === item.revision) continue;
      const { value, revision } = item;
      const former = this.replica.get(key)?.value;
      this.replica.set(key, item);
      const change = { type: 'set', key, value, revision, timeLeft: undefined, former } as const;
      this.client.told({ type: 'changed', changes: [change], position: this.position });
    }
    this.position = { epoch: EPOCH, sequence: this.published };
    this.client.after(0, { kind: 'timeout' });
  }

  synchronise(): void {
    const { position } = this;
    const size = this.replica.size;
    this.client.told({ type: 'synchronised', position, digest: { high: 0, low: 0 }, size });
  }

  done(write: Write, revision: number): void {
    this.client.writes.set(write.id, write);
    this.client.told({
      type: 'written',
      token: write.id,
      outcome: 'done',
      revision,
      isReplicated: false,
    });
  }

  pass(milliseconds: number): void {
    this.stage.world.run(this.stage.world.now + milliseconds);
  }
}

/** What a rig does that it may not. */
const LIES: readonly (readonly [invariant: string, lie: (rig: Rig) => void])[] = [
  [
    'synchronised is equal',
    (rig) => {
      rig.serve(rig.asked());
      rig.position = { epoch: EPOCH, sequence: 1 };
      rig.synchronise();
    },
  ],
  [
    "the view was the server's",
    (rig) => {
      rig.serve(rig.asked());
      rig.items.set('/a/1', { value: encodeText('another'), revision: 1 });
      rig.follow();
    },
  ],
  [
    "the view was the server's",
    (rig) => {
      rig.position = { epoch: 99, sequence: 3 };
      rig.client.before(0, { kind: 'timeout' });
      rig.client.after(0, { kind: 'timeout' });
    },
  ],
  [
    'snapshots are whole',
    (rig) => {
      rig.serve(rig.asked());
      rig.position = { epoch: EPOCH, sequence: 1 };
      rig.client.told({ type: 'snapshotLoaded', position: rig.position, size: 0 });
      rig.client.after(0, { kind: 'timeout' });
    },
  ],
  [
    'updates in order',
    (rig) => {
      rig.serve(rig.asked());
      rig.serve(rig.asked({ key: '/a/2' }), { sequence: 1 });
    },
  ],
  [
    'updates in order',
    (rig) => {
      rig.serve(rig.asked());
      rig.follow();
      rig.position = { epoch: EPOCH, sequence: 0 };
      rig.client.after(0, { kind: 'timeout' });
    },
  ],
  [
    'gaps are found',
    (rig) => {
      rig.serve(rig.asked());
      rig.follow();
      rig.synchronise();
      rig.serve(rig.asked({ key: '/a/2' }));
      rig.hear({
        type: 'beat',
        stream: 1,
        epoch: EPOCH,
        sequence: 2,
        predecessor: 2,
        isCaughtUp: true,
      });
    },
  ],
  [
    'old epochs are refused',
    (rig) => {
      rig.hear({ type: 'redirect', epoch: EPOCH + 1, endpoint: '' });
      rig.serve(rig.asked());
      rig.follow();
    },
  ],
  [
    'a write is done once',
    (rig) => {
      const write = rig.asked();
      rig.serve(write);
      rig.serve(write);
    },
  ],
  [
    'a write is done once',
    (rig) => {
      const origin = { writer: 'writer00', number: 1 };
      rig.serve(rig.asked());
      rig.serve(rig.asked({ kind: 'delete' }), { origin });
      rig.serve(rig.asked({ kind: 'delete' }), { origin });
    },
  ],
  [
    'a write is done once',
    (rig) => {
      const write = rig.asked();
      rig.stage.writes.ended(write, { outcome: 'timeout', maybeDone: false });
      rig.serve(write);
    },
  ],
  ['a write is done once', (rig) => rig.serve({ ...rig.asked(), id: 99 })],
  [
    'writes keep their order',
    (rig) => {
      const [first, second] = [rig.asked(), rig.asked()];
      rig.serve(second);
      rig.serve(first);
    },
  ],
  [
    'read your writes',
    (rig) => {
      const write = rig.asked();
      rig.serve(write);
      rig.done(write, 1);
    },
  ],
  [
    'compare and set is exact',
    (rig) => {
      rig.serve(rig.asked());
      const write = rig.asked({ ifMatch: 0 });
      rig.serve(write);
      rig.follow();
      rig.done(write, 2);
    },
  ],
  [
    'compare and set is exact',
    (rig) => {
      const write = rig.asked({ ifMatch: 3 });
      const refused = { outcome: 'refused', refusal: 'conflict', revision: 3 } as const;
      rig.stage.writes.ended(write, { ...refused, retryAfter: undefined });
    },
  ],
  ['acknowledged is kept', (rig) => rig.done(rig.asked(), 3)],
  [
    'acknowledged is kept',
    (rig) => {
      const write = rig.asked();
      rig.serve(write);
      rig.follow();
      rig.done(write, 1);
      const { reign } = rig.server;
      rig.stage.writes.begins(new TrueReign(EPOCH + 1, 'server-1', reign, 0, new Map(), 0));
    },
  ],
  [
    'expiry is exact',
    (rig) => {
      rig.serve(rig.asked(), { ttl: 100 });
      rig.pass(50);
      rig.serve(rig.asked({ kind: 'delete' }), { isExpiry: true });
    },
  ],
  [
    'expiry is exact',
    (rig) => {
      rig.serve(rig.asked(), { ttl: 100 });
      rig.pass(200);
      rig.server.after(0, { kind: 'timeout' });
    },
  ],
  [
    'expiry by the active only',
    (rig) => {
      rig.serve(rig.asked());
      rig.server.told({ type: 'becamePassive', epoch: EPOCH });
      rig.items.clear();
      rig.server.after(0, { kind: 'timeout' });
    },
  ],
  [
    'slow ones delay nobody',
    (rig) => {
      rig.server.before(0, { kind: 'command', port: 'peers', from: 'a', command: FOLLOW });
      const update = {
        type: 'update',
        stream: 1,
        sequence: 1,
        predecessor: 0,
        kind: 'set',
        key: '/a/1',
      } as const;
      const value = [new Uint8Array(900)];
      for (let count = 0; count < 3; count++) {
        rig.server.said('peers', 'a', { ...update, value }, true);
      }
    },
  ],
  [
    'every write ends once',
    (rig) => {
      const write = rig.asked();
      rig.stage.writes.ended(write, { outcome: 'queueFull' });
      rig.stage.writes.ended(write, { outcome: 'queueFull' });
    },
  ],
  ['keys are paths', (rig) => rig.serve(rig.asked({ key: 'HUGZ' }))],
];

test.each(LIES)('%s (%#)', (invariant, lie) => {
  const rig = new Rig();
  let found: unknown;
  try {
    lie(rig);
  } catch (error) {
    found = error;
  }
  expect(found).toBeInstanceOf(Violation);
  expect((found as Violation).invariant).toBe(invariant);
});

test('who does as it should breaks nothing', () => {
  const rig = new Rig();
  for (let count = 0; count < 5; count++) {
    const write = rig.asked({ key: `/a/${count}` });
    rig.serve(write);
    rig.follow();
    rig.synchronise();
    rig.done(write, count + 1);
  }
  rig.serve(rig.asked({ key: '/b/1' }), { ttl: 100 });
  rig.pass(101);
  rig.serve(rig.asked({ kind: 'delete', key: '/b/1' }), { isExpiry: true });
  expect(rig.stage.truth.of(EPOCH)?.head).toBe(7);
});
