/**
 * Simulated PUB and SUB sockets: whatever a PUB sends goes to everybody who subscribes, and whom there is
 * no room for does not get it. Either kind binds or connects, which are two classes here: which of them a
 * socket is, its first `bind` or `connect` decides.
 *
 * Both lose without a word, as zeromq's do. Each subscriber's copy is a message of its own, so that what
 * the network accepted is still what it delivered or lost.
 */
import type { Address, Frames } from '../core/machine.ts';
import type { SendOutcome, TransportSocket } from '../transport/transport.ts';
import type { SimConnection } from './sim-connection.ts';
import { Message } from './sim-lane.ts';
import { SimBinder, SimConnector, type Route } from './sim-socket.ts';

/** A PUB that binds, and sends to all at once. */
class BoundPub extends SimBinder {
  /** Those whose subscription has come: until then they get nothing. */
  readonly #subscribers = new Set<SimConnection>();

  speaksWith(connector: SimConnector): boolean {
    return connector instanceof ConnectedSub;
  }

  override accept(connection: SimConnection): void {
    super.accept(connection);
    const { world } = this.network;
    const { latency, jitter } = connection.up.link;
    world.after(latency + jitter * world.random(), () => {
      if (!this.isClosed && connection.isLive) this.#subscribers.add(connection);
    });
  }

  lost(connection: SimConnection): void {
    this.giveUp(connection);
  }

  override send(to: Address, frames: Frames, done: (outcome: SendOutcome) => void): void {
    if (to !== '' || this.isClosed || this.process.isOver) return super.send(to, frames, done);
    if (!this.process.spendEffect()) return;
    const { effects } = this.network.world;
    effects.sent += Math.max(1, this.#subscribers.size);
    if (this.#subscribers.size === 0) effects.lostUnsubscribed++;
    for (const { down } of this.#subscribers) {
      if (down.hasRoom) down.offer(new Message(this.network.copy(frames)));
      else effects.lostAtHighWater++;
    }
    done('sent');
  }

  protected route(): Route {
    return 'unroutable';
  }

  protected override giveUp(connection: SimConnection): void {
    this.#subscribers.delete(connection);
    super.giveUp(connection);
  }
}

/** A SUB that connects, and gets all that is sent while it is. */
class ConnectedSub extends SimConnector {
  /** A PUB has no use for it. */
  readonly routingId = undefined;

  protected route(): Route {
    return 'unroutable';
  }

  protected brokeOff(): void {
    // Nobody tells the owner of a SUB.
  }
}

/** A PUB that connects. Its subscriber's wish outlives the connection, and so does what waits for it. */
class ConnectedPub extends SimConnector {
  readonly routingId = undefined;
  #isSubscribed = false;

  /** The subscription has come. */
  subscribe(): void {
    this.#isSubscribed = true;
  }

  override send(to: Address, frames: Frames, done: (outcome: SendOutcome) => void): void {
    if (to !== '' || this.isClosed || this.process.isOver) return super.send(to, frames, done);
    if (!this.process.spendEffect()) return;
    const { effects } = this.network.world;
    effects.sent++;
    const message = new Message(this.network.copy(frames));
    const up = this.connection?.up;
    if (!this.#isSubscribed) effects.lostUnsubscribed++;
    else if (up === undefined ? this.queue.length >= this.highWaterMark : !up.hasRoom) {
      effects.lostAtHighWater++;
    } else if (up === undefined) this.queue.push(message);
    else up.offer(message);
    done('sent');
  }

  protected route(): Route {
    return 'unroutable';
  }

  protected brokeOff(): void {
    // Nobody tells the owner of a PUB.
  }
}

/** A SUB that binds, and hears all PUBs that connect. */
class BoundSub extends SimBinder {
  speaksWith(connector: SimConnector): boolean {
    return connector instanceof ConnectedPub;
  }

  override accept(connection: SimConnection): void {
    super.accept(connection);
    const { world } = this.network;
    const { dealer, down } = connection;
    world.after(down.link.latency + down.link.jitter * world.random(), () => {
      if (dealer instanceof ConnectedPub && connection.isLive) dealer.subscribe();
    });
  }

  lost(connection: SimConnection): void {
    this.giveUp(connection);
  }

  protected route(): Route {
    return 'unroutable';
  }

  protected override senderOf(): Address {
    return '';
  }
}

type Fields = ConstructorParameters<typeof BoundPub>;
type Half = SimBinder | SimConnector;
type HalfClass = new (...fields: Fields) => Half;

/** Binds or connects, each as the class for that. */
abstract class EitherWay implements TransportSocket {
  readonly #fields: Fields;
  readonly #binder: HalfClass;
  readonly #connector: HalfClass;
  #socket: Half;

  /** @param usual what it is until it is told */
  constructor(fields: Fields, binder: HalfClass, connector: HalfClass, usual: HalfClass) {
    this.#fields = fields;
    this.#binder = binder;
    this.#connector = connector;
    this.#socket = this.#make(usual);
  }

  bind(endpoint: string, done: (error: Error | undefined, endpoint: string) => void): void {
    this.#become(this.#binder).bind(endpoint, done);
  }

  connect(endpoint: string): void {
    this.#become(this.#connector).connect(endpoint);
  }

  send(to: Address, frames: Frames, done: (outcome: SendOutcome) => void): void {
    this.#socket.send(to, frames, done);
  }

  close(linger: number): void {
    this.#socket.close(linger);
  }

  #become(wanted: HalfClass): Half {
    if (this.#socket instanceof wanted || this.#socket.isClosed) return this.#socket;
    this.#socket.close(0);
    this.#socket = this.#make(wanted);
    return this.#socket;
  }

  #make(wanted: HalfClass): Half {
    const [network, process] = this.#fields;
    const socket = new wanted(...this.#fields);
    if (!process.isOver) network.add(socket);
    return socket;
  }
}

export class SimPub extends EitherWay {
  constructor(...fields: Fields) {
    super(fields, BoundPub, ConnectedPub, BoundPub);
  }
}

export class SimSub extends EitherWay {
  constructor(...fields: Fields) {
    super(fields, BoundSub, ConnectedSub, ConnectedSub);
  }
}
