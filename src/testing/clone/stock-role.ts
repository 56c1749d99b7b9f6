/**
 * A stock peer, written by the RFC: it asks for a snapshot, follows what is published, and writes. It has no
 * acknowledgement and no promise; but whatever it is told was so.
 */
import { encodeText, equalBytes } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import type {
  ChpClientInput,
  ChpClientOutput,
  KvpubCommand,
  KvsyncCommand,
} from '../../clone/commands.ts';
import type { ClientPort } from '../../clone/client-events.ts';
import { chpClientCodec } from '../../clone/wire/protocol.ts';
import type { TransportSocket } from '../../transport/transport.ts';
import { endpointOf } from '../majordomo-pair/stage.ts';
import type { SimProcess } from '../sim-process.ts';
import { requireThat } from '../violation.ts';
import { KEYS } from './plan.ts';
import { stockEndpointOf } from './server-role.ts';
import type { CloneStage } from './stage.ts';
import type { TrueReign } from './truth.ts';
import { valueOf } from './writes.ts';

const STOCK = 'stock';

/** How many writes it makes before it goes to the other server. */
const STAY = 8;

/** What a deleted key has. */
const NOTHING = new Uint8Array(0);

/** It says every so many writes twice. */
const TWICE = 3;

export class StockRole {
  readonly process: SimProcess;
  readonly #stage: CloneStage;
  readonly #pace: number;
  readonly #servers: readonly string[];
  #sockets!: Record<ClientPort, TransportSocket>;
  #turn = 0;

  constructor(stage: CloneStage, servers: readonly string[], pace: number) {
    this.#stage = stage;
    this.#pace = pace;
    this.#servers = servers;
    this.process = stage.world.start(STOCK, stage.processOptions());
    this.#visit();
    this.#work();
  }

  /** Goes to the next server. */
  #visit(): void {
    const server = this.#servers[(this.#turn / STAY) % this.#servers.length]!;
    const open = (port: ClientPort, kind: 'dealer' | 'sub', endpoint: string): TransportSocket => {
      const socket = this.#stage.network.transport(this.process).open(kind, {
        onMessage: (_from, frames) => this.#read(port, frames),
        onPeerGone: () => undefined,
      });
      socket.connect(endpoint);
      return socket;
    };
    this.#sockets = {
      server: open('server', 'dealer', endpointOf(server, 'peers')),
      updates: open('updates', 'sub', stockEndpointOf(server, 'publisher')),
      writes: open('writes', 'dealer', stockEndpointOf(server, 'collector')),
    };
    this.#say('server', { type: 'icanhaz', subtree: this.#turn % 2 === 0 ? '' : '/a/' });
  }

  #work(): void {
    const { process } = this;
    process.wakeAt(process.now() + this.#pace, () => {
      if (this.#stage.isHealed) return;
      this.#turn++;
      if (this.#turn % STAY === 0) {
        for (const socket of Object.values(this.#sockets)) socket.close(0);
        this.#visit();
      }
      this.#write();
      this.#work();
    });
  }

  #write(): void {
    const turn = this.#turn;
    const key = KEYS[turn % KEYS.length]!;
    const isDelete = turn % 7 === 0;
    const kind = isDelete ? 'delete' : 'set';
    const write = this.#stage.writes.asked({
      writer: `${STOCK}.${turn}`,
      kind,
      key,
      ifMatch: undefined,
    });
    const value = isDelete ? new Uint8Array(0) : valueOf(write, 4);
    const uuid = `stock${String(turn).padStart(11, '0')}`;
    const ttl = turn % 5 === 0 ? 1000 : undefined;
    for (let count = turn % TWICE === 0 ? 2 : 1; count > 0; count--) {
      this.#say('writes', { type: 'kvset', key, uuid, ttl, value });
    }
    // What a server must not take for a key.
    if (turn % 4 === 0)
      this.#say('writes', { type: 'kvset', key: 'HUGZ', uuid: '', value: encodeText('x') });
  }

  #say(port: ClientPort, command: ChpClientOutput): void {
    const { frames } = chpClientCodec.encode(port, command, undefined);
    this.#sockets[port].send('', frames, () => undefined);
  }

  #read(port: ClientPort, frames: Frames): void {
    const reason = chpClientCodec.decode(port, frames, (command) => this.#check(command));
    requireThat(reason === undefined, 'stock peers understand', () => `${port}: ${reason}`);
  }

  #check(command: ChpClientInput): void {
    this.#stage.count(`stock.${command.type}`);
    if (command.type === 'kvsync' || command.type === 'kvpub') this.#checkTrue(command);
  }

  #checkTrue({ type, key, sequence, value }: KvsyncCommand | KvpubCommand): void {
    const isTrue = [...this.#stage.truth.reigns()].some((reign) => {
      return type === 'kvpub'
        ? isUpdate(reign, key, sequence, value)
        : isItem(reign, key, sequence, value);
    });
    requireThat(isTrue, "the view was the server's", () => {
      return `a ${type} says that ${key} became something else as ${sequence}`;
    });
  }
}

function isUpdate(reign: TrueReign, key: string, sequence: number, value: Uint8Array): boolean {
  const made = reign.updateAt(sequence);
  if (made === undefined || made.key === key) {
    return equalBytes(made?.value ?? reign.viewAt(sequence)?.get(key)?.value ?? NOTHING, value);
  }
  return made.kind === 'clear' && value.length === 0;
}

/** Items of a snapshot carry the number of the snapshot, and are perhaps newer. */
function isItem(reign: TrueReign, key: string, sequence: number, value: Uint8Array): boolean {
  const item = reign.viewAt(sequence)?.get(key);
  if (item !== undefined && equalBytes(item.value, value)) return true;
  return [...reign.made.values()].some((made) => {
    return made.sequence > sequence && made.key === key && equalBytes(made.value, value);
  });
}
