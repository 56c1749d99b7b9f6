/**
 * A peer that speaks the wire and keeps no rule. As a client it sends garbage, lies about what it has got,
 * says again what it said, never reads, and asks for what is no key. As a server it begins what it does not
 * end, counts wrong, and tells old news. Whatever it does costs time at most, and never makes a wrong map.
 */
import { encodeText } from '../../core/frames.ts';
import type { Address, Frames } from '../../core/machine.ts';
import type {
  FollowCommand,
  FollowerOutput,
  ServerOutput,
  WriteCommand,
} from '../../clone/commands.ts';
import { clientCodec, serverCodec } from '../../clone/wire/protocol.ts';
import type { TransportSocket } from '../../transport/transport.ts';
import { endpointOf } from '../majordomo-pair/stage.ts';
import type { SimProcess } from '../sim-process.ts';
import { NO_KEYS, type Mischief, type PlannedRogue } from './plan.ts';
import type { CloneStage } from './stage.ts';

export const ROGUE = 'rogue';

/** Milliseconds between two pieces of mischief. */
const PACE = 45;

/** How many of its own messages it remembers to say again. */
const REMEMBERED = 12;

/** An epoch that nobody has reached, and nobody can. */
const IMPLAUSIBLE = 2 ** 45;

/** It is known as a server of long ago. */
const OLD = 1;

const ASKED: FollowCommand = {
  type: 'follow',
  stream: 1,
  subtree: '',
  window: 10_000,
  epoch: 0,
  isBackup: false,
  writer: 'roguerog',
  heartbeatInterval: 50,
  heartbeatLiveness: 3,
};

export class RogueRole {
  readonly process: SimProcess;
  readonly #stage: CloneStage;
  readonly #mischiefs: readonly Mischief[];
  readonly #socket: TransportSocket;
  readonly #said: Frames[] = [];
  readonly #heard: Frames[] = [];
  #turn = 0;
  #streams = 0;

  /** @param servers names: it plagues one after the other */
  constructor(stage: CloneStage, { mischiefs, rank }: PlannedRogue, servers: readonly string[]) {
    this.#stage = stage;
    this.#mischiefs = mischiefs;
    this.process = stage.world.start(ROGUE, stage.processOptions());
    const transport = stage.network.transport(this.process);
    this.#socket = transport.open('dealer', {
      onMessage: (_from, frames) => this.#remember(this.#heard, frames),
      onPeerGone: () => undefined,
    });
    this.#socket.connect(endpointOf(servers[stage.plan.seed % servers.length]!, 'peers'));
    if (rank !== undefined) this.#serve();
    this.#plague();
  }

  // As a client

  #plague(): void {
    const { process } = this;
    process.wakeAt(process.now() + PACE, () => {
      const mischief = this.#mischiefs[this.#turn++ % this.#mischiefs.length]!;
      this.#stage.count(`rogue.${mischief}`);
      this.#do(mischief);
      this.#plague();
    });
  }

  #do(mischief: Mischief): void {
    switch (mischief) {
      case 'garbage':
        return this.#sendGarbage();
      case 'lies':
        return this.#lie();
      case 'replays':
        for (const frames of [...this.#said, ...this.#heard]) this.#send(frames);
        return;
      case 'neverReads':
        this.process.stopReading(600);
        return this.#follow({ window: 1_000_000_000 });
      case 'wrongKeys':
        this.#follow({});
        NO_KEYS.forEach((key, index) => this.#write({ key, number: index + 1 }));
        return this.#write({ kind: 'clear', key: 'HUGZ', number: NO_KEYS.length + 1, value: [] });
      case 'skips':
        this.#follow({});
        for (const number of [7, 3, 2 ** 40, 0]) this.#write({ number, floor: number });
        return;
      case 'followsNobody':
        for (const subtree of ['x', '/a', '//', '/none/']) this.#follow({ subtree, window: 1 });
        return this.#follow({ position: { epoch: 3, sequence: 1e9 }, heartbeatInterval: 1e9 });
      case 'implausible':
        return this.#follow({ epoch: IMPLAUSIBLE });
      case 'usurps':
        if (!this.#stage.isPair) this.#follow({ isBackup: true });
    }
  }

  #sendGarbage(): void {
    const { random } = this.#stage.world;
    const bytes = Uint8Array.from({ length: 1 + 40 * random() }, () => 256 * random());
    for (const frames of [[bytes], [bytes, bytes], [encodeText('ICANHAZ?')], []])
      this.#send(frames);
    const [heard] = this.#said;
    if (heard === undefined) return;
    const broken = heard.map((frame) => frame.slice());
    const last = broken.at(-1)!;
    if (last.length > 0) last[Math.floor(random() * last.length)]! ^= 1 << (8 * random());
    // What is broken may still be right, but for the one thing that it must not do: write.
    if (this.#isHarmless(broken)) this.#send(broken);
    this.#send(broken.map((frame) => frame.subarray(0, frame.length / 2)));
  }

  #isHarmless(frames: Frames): boolean {
    let isHarmless = true;
    serverCodec.decode('peers', frames, (command) => {
      if (command.type !== 'progress') isHarmless = false;
    });
    return isHarmless;
  }

  #lie(): void {
    const stream = this.#streams;
    for (const received of [0, 1e12]) {
      this.#say({ type: 'progress', stream, received, sequence: 1e9, epoch: 0 });
      this.#say({ type: 'progress', stream: stream + 5, received, sequence: 1e9, epoch: 0 });
    }
  }

  #follow(fields: Partial<FollowCommand>): void {
    this.#say({ ...ASKED, stream: ++this.#streams, ...fields });
  }

  /** What nobody may write. */
  #write(fields: Partial<WriteCommand>): void {
    const value = [encodeText('forged')];
    this.#say({ type: 'write', number: 1, floor: 1, kind: 'set', key: '/a/', value, ...fields });
  }

  #say(command: FollowerOutput): void {
    const { frames } = clientCodec.encode('server', command, undefined);
    this.#remember(this.#said, frames);
    this.#send(frames);
  }

  #send(frames: Frames): void {
    this.#socket.send('', frames, () => undefined);
  }

  #remember(where: Frames[], frames: Frames): void {
    where.push(frames.map((frame) => frame.slice()));
    if (where.length > REMEMBERED) where.shift();
  }

  // As a server

  #serve(): void {
    const socket = this.#stage.network.transport(this.process).open('router', {
      onMessage: (from, frames) => {
        serverCodec.decode('peers', frames, (command) => {
          if (command.type === 'follow') this.#mislead(socket, from, command);
        });
      },
      onPeerGone: () => undefined,
    });
    socket.bind(endpointOf(ROGUE, 'peers'), () => undefined);
  }

  #mislead(socket: TransportSocket, to: Address, { stream, position }: FollowCommand): void {
    const kind = Math.floor(8 * this.#stage.world.random());
    this.#stage.count(`rogue.misleads.${kind}`);
    for (const command of misleading(kind, stream, position?.sequence ?? 0)) {
      const { frames } = serverCodec.encode('peers', command, undefined);
      socket.send(to, frames, () => undefined);
    }
  }
}

/** A stream that nobody may believe. */
function misleading(kind: number, stream: number, sequence: number): readonly ServerOutput[] {
  const begin = {
    type: 'begin',
    stream,
    mode: 'snapshot',
    epoch: OLD,
    sequence: 5,
    predecessor: 5,
    heartbeatInterval: 50,
    heartbeatLiveness: 3,
  } as const;
  const value = [encodeText('forged')];
  const item = { type: 'item', stream, index: 0, key: '/a/1', revision: 3, value } as const;
  const digest = { high: 1, low: 2 };
  const end = { type: 'end', stream, count: 1, sequence: 5, predecessor: 5, digest } as const;
  const update = {
    type: 'update',
    stream,
    sequence: 9,
    predecessor: 8,
    kind: 'set',
    key: '/a/1',
    value,
  } as const;
  const beat = {
    type: 'beat',
    stream,
    epoch: OLD,
    sequence: 5,
    predecessor: 5,
    digest,
    isCaughtUp: true,
  } as const;
  switch (kind) {
    case 0:
      return [begin, item, end];
    case 1:
      return [begin, { ...end, count: 0 }, beat];
    case 2:
      return [begin, item, { ...item, index: 2 }, { ...end, count: 3 }];
    case 3:
      return [item, update, end, beat];
    case 4:
      return [
        { ...begin, mode: 'continue', sequence, predecessor: sequence },
        { ...update, sequence: sequence + 9, predecessor: sequence + 8 },
      ];
    case 5:
      return [
        { ...begin, stream: stream + 1 },
        { ...item, stream: stream + 1 },
        { ...end, stream: stream - 1 },
      ];
    case 6:
      return [{ type: 'redirect', epoch: OLD, endpoint: 'tcp://nowhere:1' }];
    default:
      return [
        begin,
        { type: 'result', number: 2 ** 30, revision: 3, isReplicated: true },
        { type: 'expected', number: 2 ** 30 },
        { ...begin, mode: 'lost' },
        end,
      ];
  }
}
