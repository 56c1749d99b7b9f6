/**
 * Simulated PUB and SUB sockets: whatever a PUB sends goes to everybody who subscribes, and whom there is
 * no room for does not get it.
 *
 * Both lose without a word, as zeromq's do. Each subscriber's copy is a message of its own, so that what
 * the network accepted is still what it delivered or lost.
 */
import type { Address, Frames } from '../core/machine.ts';
import type { SendOutcome } from '../transport/transport.ts';
import type { SimConnection } from './sim-connection.ts';
import { Message } from './sim-lane.ts';
import { SimBinder, SimConnector, type Route } from './sim-socket.ts';

/** Binds, and sends to all at once. */
export class SimPub extends SimBinder {
  /** Those whose subscription has come: until then they get nothing. */
  readonly #subscribers = new Set<SimConnection>();

  speaksWith(connector: SimConnector): boolean {
    return connector instanceof SimSub;
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

/** Connects, and gets all that is sent while it is. */
export class SimSub extends SimConnector {
  /** A PUB has no use for it. */
  readonly routingId = undefined;

  protected route(): Route {
    return 'unroutable';
  }

  protected brokeOff(): void {
    // Nobody tells the owner of a SUB.
  }
}
