/**
 * Simulated ROUTER and DEALER sockets: what they do with messages, connections and closing. And what all
 * sockets have in common, those of `sim-pubsub.ts` too.
 *
 * They lose what zeromq loses and no more: see the counters in `effects.ts`.
 */
import { BindError, ClosedError } from '../core/errors.ts';
import type { Address, Frames } from '../core/machine.ts';
import type { SendOutcome, SocketHandler, TransportSocket } from '../transport/transport.ts';
import type { Loss } from './effects.ts';
import type { SimConnection } from './sim-connection.ts';
import { type Lane, Message } from './sim-lane.ts';
import type { SimNetwork, SimTransportOptions } from './sim-network.ts';
import type { SimProcess } from './sim-process.ts';

/** Where a send would go, or why it cannot. */
export type Route = Lane | Message[] | Exclude<SendOutcome, 'sent' | 'closed'>;

export abstract class SimSocket implements TransportSocket {
  readonly process: SimProcess;
  /** Counts the sockets of a network; a later socket has a larger one. */
  readonly serial: number;
  readonly highWaterMark: number;
  protected readonly network: SimNetwork;
  readonly #handler: SocketHandler;
  #isClosed = false;
  #isGone = false;

  constructor(
    network: SimNetwork,
    process: SimProcess,
    handler: SocketHandler,
    options: SimTransportOptions,
  ) {
    this.network = network;
    this.process = process;
    this.#handler = handler;
    this.serial = network.nextSerial();
    this.highWaterMark = options.highWaterMark ?? network.settings.highWaterMark;
  }

  /** Its owner has closed it: nothing is delivered to it any more. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Closed, and what it was to send has left or was dropped. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /** Closed, and lingering for what is still to leave. */
  get isLeaving(): boolean {
    return this.#isClosed && !this.#isGone;
  }

  /** Without a name: DEALERs and SUBs, the only peers here, would not see it. */
  abstract bind(endpoint: string, done: (error: Error | undefined, endpoint: string) => void): void;
  abstract connect(endpoint: string): void;
  /** `connection` broke, and this side has just learned it. */
  abstract lost(connection: SimConnection): void;
  /** Writes what can be written. */
  abstract pump(): void;
  /** How many messages are queued here. */
  abstract get queued(): number;
  protected abstract route(to: Address): Route;
  protected abstract vanish(loss: Loss): void;

  send(to: Address, frames: Frames, done: (outcome: SendOutcome) => void): void {
    // A dead process is not told that it is dead: nothing of it ever runs again.
    if (this.process.isOver) return;
    if (this.#isClosed) return done('closed');
    const { effects } = this.network.world;
    const route = this.route(to);
    if (typeof route === 'string') {
      effects[route]++;
      return done(route);
    }
    if (!this.process.spendEffect()) return;
    effects.sent++;
    const message = new Message(this.network.copy(frames));
    if (Array.isArray(route)) route.push(message);
    else route.offer(message);
    done('sent');
  }

  close(linger: number): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.unbind();
    if (linger <= 0 || this.queued === 0) return this.#vanish('lostAtClose');
    this.network.world.after(linger, () => this.#vanish('lostAtClose'));
    this.pump();
  }

  /** A lane has written all it had; perhaps it was the last one that had something. */
  drained(): void {
    if (this.isLeaving && this.queued === 0) this.#vanish('lostAtClose');
  }

  /** Its process has crashed. */
  die(): void {
    if (this.#isGone) return;
    this.#isClosed = true;
    this.unbind();
    this.#vanish('lostAtCrash');
  }

  /** Hands a message to the owner. */
  read(lane: Lane, frames: Frames): void {
    this.network.delivered(lane, frames);
    if (this.isNotice(frames)) this.#handler.onPeerGone(lane.address);
    else this.#handler.onMessage(this.senderOf(lane), frames);
  }

  /** From whom its owner hears what comes on a lane. */
  protected senderOf(lane: Lane): Address {
    return lane.address;
  }

  /** True if a message of these frames looks to the owner as if libzmq had made it. */
  protected isNotice(_frames: Frames): boolean {
    return false;
  }

  /** Gives up its endpoints. */
  protected unbind(): void {
    this.network.unbind(this);
  }

  /** Tells the owner what became of a peer, where notices are on. */
  protected notify(connection: SimConnection, address: Address, news: 'gone' | 'new'): void {
    const { world, settings } = this.network;
    if (this.#isClosed || !settings.notices) return;
    if (news === 'gone') world.effects.noticeDelivered++;
    else world.effects.linkNoticeDelivered++;
    const other = this === (connection.dealer as SimSocket) ? connection.router : connection.dealer;
    world.note(`${this.process.name} is told that ${other.process.name} is ${news}`);
    this.#handler.onPeerGone(address);
  }

  #vanish(loss: Loss): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.vanish(loss);
    this.network.remove(this);
  }
}

/** A socket that connects: one connection at a time, made again for ever. What it queues survives them. */
export abstract class SimConnector extends SimSocket {
  readonly queue: Message[] = [];
  #endpoint: string | undefined;
  #connection: SimConnection | undefined;
  #wasConnected = false;

  /** What the other side shall call it; undefined: whatever it likes. */
  abstract get routingId(): Address | undefined;

  protected get connection(): SimConnection | undefined {
    return this.#connection;
  }

  get endpoint(): string | undefined {
    return this.#endpoint;
  }

  get queued(): number {
    return this.queue.length;
  }

  bind(endpoint: string, done: (error: Error | undefined, endpoint: string) => void): void {
    const error = new BindError(
      'ERR_BIND_FAILED',
      endpoint,
      'a simulated socket of this kind only connects',
    );
    this.process.atTurnEnd(() => done(error, endpoint));
  }

  connect(endpoint: string): void {
    if (this.process.isOver || this.isClosed) return;
    if (this.#endpoint !== undefined) throw new Error('a simulated socket connects once');
    this.#endpoint = endpoint;
    this.#attemptAfter(2 * this.network.settings.latency);
  }

  lost(connection: SimConnection): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    this.#retry();
    this.brokeOff(connection);
  }

  pump(): void {
    this.#connection?.up.pump();
  }

  protected vanish(loss: Loss): void {
    const connection = this.#connection;
    this.#connection = undefined;
    if (loss === 'lostAtCrash') connection?.die(this);
    this.network.world.effects[loss] += this.queue.length;
    this.queue.length = 0;
    if (loss === 'lostAtClose') connection?.leave(this);
  }

  #attemptAfter(delay: number): void {
    this.network.world.after(delay, () => this.#attempt());
  }

  #retry(): void {
    // libzmq draws up to one interval more, so that many peers do not come back at once.
    const interval = this.network.settings.reconnectInterval;
    this.#attemptAfter(interval + interval * this.network.world.random());
  }

  #attempt(): void {
    if (this.isGone || this.#connection !== undefined) return;
    const connection = this.network.establish(this);
    if (connection === undefined) return this.#retry();
    this.#connection = connection;
    if (this.#wasConnected) this.network.world.effects.reconnected++;
    this.#wasConnected = true;
    connection.up.pump();
  }

  /** The owner may be told that it broke. */
  protected abstract brokeOff(connection: SimConnection): void;
}

/** A DEALER, with one peer. */
export class SimDealer extends SimConnector {
  readonly routingId: Address | undefined;

  constructor(
    network: SimNetwork,
    process: SimProcess,
    handler: SocketHandler,
    options: SimTransportOptions,
  ) {
    super(network, process, handler, options);
    const identities = options.identities ?? network.settings.identities;
    const fresh = identities === 'stable' ? `${process.name}#${this.serial}` : undefined;
    this.routingId = options.routingId ?? fresh;
  }

  protected route(): Route {
    if (this.connection === undefined) {
      return this.queue.length < this.highWaterMark ? this.queue : 'full';
    }
    return this.connection.up.hasRoom ? this.connection.up : 'full';
  }

  protected brokeOff(connection: SimConnection): void {
    this.notify(connection, '', 'gone');
  }
}

/** A socket that binds: many peers, each on a connection of its own; what is queued for one dies with it. */
export abstract class SimBinder extends SimSocket {
  readonly #peers = new Map<Address, SimConnection>();

  get queued(): number {
    let queued = 0;
    for (const { down } of this.#peers.values()) queued += down.queue.length;
    return queued;
  }

  protected get peers(): ReadonlyMap<Address, SimConnection> {
    return this.#peers;
  }

  bind(endpoint: string, done: (error: Error | undefined, endpoint: string) => void): void {
    if (this.process.isOver) return;
    const bound = this.isClosed
      ? new ClosedError('this socket')
      : this.network.bind(this, endpoint);
    this.process.atTurnEnd(() => {
      if (typeof bound === 'string') done(undefined, bound);
      else done(bound, endpoint);
    });
  }

  connect(): void {
    throw new Error('a simulated socket of this kind only binds');
  }

  /** True if it speaks with sockets of that kind; if not, they try again for ever. */
  abstract speaksWith(connector: SimConnector): boolean;

  /** Takes a new peer in, or lets it replace the one that has its routing id (handover). */
  accept(connection: SimConnection): void {
    const former = this.#peers.get(connection.address);
    if (former?.isOverFor(this) === true) this.giveUp(former);
    else former?.replaced();
    this.#peers.set(connection.address, connection);
  }

  abstract override lost(connection: SimConnection): void;

  pump(): void {
    for (const { down } of this.#peers.values()) down.pump();
  }

  protected vanish(loss: Loss): void {
    for (const { down } of this.#peers.values()) down.dropQueue(loss);
    this.#peers.clear();
    // Those that were replaced are no peers any more, but they end with the socket.
    for (const connection of this.network.connections) {
      if (connection.router !== this) continue;
      if (loss === 'lostAtCrash') connection.die(this);
      else {
        connection.down.dropQueue(loss);
        connection.leave(this);
      }
    }
  }

  protected giveUp(connection: SimConnection): void {
    connection.down.dropQueue('lostAtReset');
    if (this.#peers.get(connection.address) !== connection) return;
    this.#peers.delete(connection.address);
    this.drained();
  }
}

/** A ROUTER, which tells its owner of each peer. */
export class SimRouter extends SimBinder {
  speaksWith(connector: SimConnector): boolean {
    return connector instanceof SimDealer;
  }

  override accept(connection: SimConnection): void {
    super.accept(connection);
    if (this.network.settings.notices) this.#announce(connection);
  }

  /** The news of a connection waits its turn too, ahead of its messages; a takeover discards it. */
  #announce(connection: SimConnection): void {
    const { address } = connection;
    this.process.receive({
      deliver: () => {
        if (this.peers.get(address) === connection) this.notify(connection, address, 'new');
      },
      abandon: () => undefined,
    });
  }

  lost(connection: SimConnection): void {
    if (this.peers.get(connection.address) !== connection) return this.giveUp(connection);
    // libzmq may give its notice first and the peer up later: what is sent in between is lost.
    const { world, settings } = this.network;
    const delay = settings.noticeDelay * (2 * world.random() - 1);
    if (delay > 0) world.after(delay, () => this.giveUp(connection));
    else this.giveUp(connection);
    this.notify(connection, connection.address, 'gone');
  }

  /** libzmq announces a new connection by one empty frame, which a peer may send too. */
  protected override isNotice(frames: Frames): boolean {
    return this.network.settings.notices && frames.length === 1 && frames[0]?.length === 0;
  }

  protected route(to: Address): Route {
    const peer = this.peers.get(to);
    if (peer === undefined) return 'unroutable';
    return peer.down.hasRoom ? peer.down : 'full';
  }
}
