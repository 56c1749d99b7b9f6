/**
 * One direction of a connection: queue → wire → reader.
 *
 * The wire takes as many messages as the receive window allows, counting those that are not read
 * yet. All back-pressure follows from that: a slow reader or a partition fills the window, then the
 * sender's queue up to its high-water mark, then sends are `full`. Nothing overtakes inside a lane.
 */
import { byteLength } from '../core/frames.ts';
import type { Address, Frames, Instant } from '../core/machine.ts';
import type { Loss } from './effects.ts';
import type { Arrival } from './sim-process.ts';
import type { SimSocket } from './sim-socket.ts';
import type { SimWorld } from './sim-world.ts';

/** How one direction between two processes behaves. */
export interface LinkSettings {
  /** Milliseconds that every message takes. */
  readonly latency: number;
  /** Milliseconds that it takes more, at most; drawn for each message. */
  readonly jitter: number;
  /** Bytes a millisecond; a large message delays those behind it. */
  readonly bandwidth: number;
  /** Messages on the wire and unread together, at most. */
  readonly receiveWindow: number;
}

/** A message that a socket accepted. */
export class Message implements Arrival {
  readonly frames: Frames;
  readonly bytes: number;
  lane: Lane | undefined;

  constructor(frames: Frames) {
    this.frames = frames;
    this.bytes = byteLength(frames);
  }

  deliver(): void {
    this.lane?.deliver(this);
  }

  abandon(): void {
    this.lane?.abandon();
  }
}

/** What a lane tells its connection. */
export interface LaneOwner {
  /** The first message was read. */
  laneHeard(lane: Lane): void;
  /** The queue is empty and its socket is leaving. */
  laneDrained(lane: Lane): void;
  /** The sender's end of the stream has reached the receiver. */
  laneEnded(lane: Lane): void;
}

/** The last thing a lane carries, if it is not reset: the end of the stream (TCP's FIN). */
const END = 'end of stream';

export class Lane {
  readonly from: SimSocket;
  readonly to: SimSocket;
  /** Messages that are not on the wire yet. A DEALER's survive its connections. */
  readonly queue: Message[];
  /** What the receiver sees as the sender's address. */
  readonly address: Address;
  link: LinkSettings;
  /** Its messages count as ghosts: a newer socket of the same process was heard before. */
  isSuperseded = false;
  readonly #world: SimWorld;
  readonly #owner: LaneOwner;
  readonly #wire: (Message | typeof END)[] = [];
  readonly #arrive: () => void;
  #unread = 0;
  #writtenAt: Instant = 0;
  #lastArrival: Instant = 0;
  #notBefore: Instant = 0;
  #isOpen = true;
  #isHeard = false;
  #isHeld = false;
  #stalled = 0;
  #toDrop = 0;
  #discardAs: Loss | undefined;

  constructor(
    world: SimWorld,
    owner: LaneOwner,
    from: SimSocket,
    to: SimSocket,
    queue: Message[],
    address: Address,
    link: LinkSettings,
  ) {
    this.#world = world;
    this.#owner = owner;
    this.from = from;
    this.to = to;
    this.queue = queue;
    this.address = address;
    this.link = link;
    this.#arrive = () => this.#arrived();
  }

  /** How many messages are on the wire. */
  get inFlight(): number {
    return this.#wire.length - (this.#wire.at(-1) === END ? 1 : 0);
  }

  /** Neither ended nor cut. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  // The sender's side

  /** Bytes of the largest message that is queued or on the wire. */
  get largest(): number {
    let largest = 0;
    for (const message of [...this.queue, ...this.#wire]) {
      if (message instanceof Message) largest = Math.max(largest, message.bytes);
    }
    return largest;
  }

  /** True if one more message fits into the queue or straight onto the wire. */
  get hasRoom(): boolean {
    return (
      this.queue.length < this.from.highWaterMark || (this.queue.length === 0 && this.#isWritable)
    );
  }

  /** Takes one message; only if `hasRoom`. */
  offer(message: Message): void {
    if (this.queue.length === 0 && this.#isWritable) this.#write(message);
    else this.queue.push(message);
  }

  /** Writes what the window takes. */
  pump(): void {
    while (this.queue.length > 0 && this.#isWritable) this.#write(this.queue.shift()!);
    if (this.queue.length === 0 && this.from.isLeaving && this.#isOpen) {
      this.#owner.laneDrained(this);
    }
  }

  /** The sender is gone: ends the stream after what was written, which may take up to `delay` more. */
  finish(delay: number): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#notBefore = this.#world.now + delay;
    this.#put(END, 0);
  }

  get #isWritable(): boolean {
    return (
      this.#isOpen &&
      this.#wire.length + this.#unread < this.link.receiveWindow &&
      this.from.process.canWrite
    );
  }

  #write(message: Message): void {
    message.lane = this;
    this.#put(message, message.bytes);
  }

  #put(item: Message | typeof END, bytes: number): void {
    const { latency, jitter, bandwidth } = this.link;
    const now = this.#world.now;
    this.#writtenAt = Math.max(now, this.#writtenAt) + bytes / bandwidth;
    const travel = jitter === 0 ? latency : latency + jitter * this.#world.random();
    this.#lastArrival = Math.max(this.#lastArrival, this.#writtenAt + travel);
    this.#wire.push(item);
    this.#world.schedule(this.#lastArrival, this.#arrive);
  }

  // The wire: each arrival event takes whatever is first, so that order holds however it was delayed

  #arrived(): void {
    const item = this.#wire[0];
    if (item === undefined) return;
    if (this.#isHeld) {
      this.#stalled++;
      this.#world.effects.heldByPartition++;
      return;
    }
    if (this.#world.now < this.#notBefore) {
      this.#world.schedule(this.#notBefore, this.#arrive);
      return;
    }
    this.#wire.shift();
    if (item === END) return this.#owner.laneEnded(this);
    if (this.#toDrop > 0) {
      this.#toDrop--;
      this.#lose('dropped', 1);
    } else if (this.to.isGone) {
      // The sender's kernel now knows: no more is written, and a DEALER's queue survives.
      return this.#lose('lostInFlight', 1);
    } else if (this.#discardAs !== undefined) this.#lose(this.#discardAs, 1);
    else {
      this.#unread++;
      this.to.process.receive(item);
      return;
    }
    this.pump();
  }

  /** A partition begins or ends; what it held back is sent again after one latency. */
  setHeld(isHeld: boolean): void {
    if (this.#isHeld === isHeld) return;
    this.#isHeld = isHeld;
    if (isHeld) return;
    for (; this.#stalled > 0; this.#stalled--) {
      this.#world.after(this.link.latency, this.#arrive);
    }
  }

  /** The next `count` arrivals vanish. */
  drop(count: number): void {
    this.#toDrop += count;
  }

  /** What is still to vanish arrives. */
  dropNone(): void {
    this.#toDrop = 0;
  }

  /** The connection breaks: the first `keep` messages on the wire just made it, the rest is lost. */
  cut(keep: number): void {
    const inFlight = this.inFlight;
    const kept = this.#isHeld ? 0 : Math.min(keep, inFlight);
    this.#isOpen = false;
    this.#notBefore = 0;
    this.#wire.length = kept;
    this.#lose('lostInFlight', inFlight - kept);
    for (let count = 0; count < kept; count++) {
      this.#world.schedule(this.#world.now, this.#arrive);
    }
  }

  /** The sender died: of what it had handed over, only the first `keep` messages were written. */
  truncate(keep: number): void {
    const inFlight = this.inFlight;
    if (keep >= inFlight) return;
    this.#wire.length = keep;
    this.#lose('lostInFlight', inFlight - keep);
  }

  /** From now on nothing of it is read any more, nor what has arrived already. */
  discard(loss: Loss): void {
    this.#discardAs = loss;
  }

  /** Drops what the sender has queued. */
  dropQueue(loss: Loss): void {
    this.#lose(loss, this.queue.length);
    this.queue.length = 0;
  }

  // The reader's side

  /** A message is read: the last step of its way. */
  deliver(message: Message): void {
    this.#unread--;
    if (this.to.isClosed) this.#lose('lostAtClose', 1);
    else if (this.#discardAs !== undefined) this.#lose(this.#discardAs, 1);
    else this.#read(message);
    this.pump();
  }

  /** A message was received, but its reader crashed. */
  abandon(): void {
    this.#unread--;
    this.#lose('lostAtCrash', 1);
  }

  #read(message: Message): void {
    if (!this.#isHeard) {
      this.#isHeard = true;
      this.#owner.laneHeard(this);
    }
    this.to.read(this, message.frames);
  }

  #lose(loss: Loss, count: number): void {
    this.#world.effects[loss] += count;
  }
}
