/**
 * A connection between a DEALER and a ROUTER: two lanes, and who knows yet that it broke. Here all that
 * connect are called DEALERs, and all that bind ROUTERs: a SUB and its PUB too.
 *
 * Each side is done with a connection once it has left itself or has learned that the other one
 * did; a side that never learns keeps a half-open connection.
 */
import type { Address } from '../core/machine.ts';
import { Lane, type LaneOwner } from './sim-lane.ts';
import type { SimBinder, SimConnector, SimSocket } from './sim-socket.ts';
import type { SimNetwork } from './sim-network.ts';

export class SimConnection implements LaneOwner {
  readonly dealer: SimConnector;
  readonly router: SimBinder;
  /** The DEALER's routing id on this connection. */
  readonly address: Address;
  /** DEALER → ROUTER. */
  readonly up: Lane;
  /** ROUTER → DEALER. */
  readonly down: Lane;
  readonly #network: SimNetwork;
  readonly #done = new Set<SimSocket>();

  constructor(network: SimNetwork, dealer: SimConnector, router: SimBinder, address: Address) {
    const { world } = network;
    const [client, server] = [dealer.process.name, router.process.name];
    this.#network = network;
    this.dealer = dealer;
    this.router = router;
    this.address = address;
    const uplink = network.link(client, server);
    const downlink = network.link(server, client);
    this.up = new Lane(world, this, dealer, router, dealer.queue, address, uplink);
    this.down = new Lane(world, this, router, dealer, [], '', downlink);
  }

  /** True if it joins these two processes, whichever of them is the DEALER's. */
  joins(a: string, b: string): boolean {
    const [client, server] = [this.dealer.process.name, this.router.process.name];
    return (client === a && server === b) || (client === b && server === a);
  }

  /** Neither side has left, and nothing has reset it. */
  get isLive(): boolean {
    return this.up.isOpen && this.down.isOpen;
  }

  /** `socket` has left it, or knows that it broke. */
  isOverFor(socket: SimSocket): boolean {
    return this.#done.has(socket);
  }

  /** The first message over a new connection turns what is left of older sockets into ghosts. */
  laneHeard(lane: Lane): void {
    if (lane !== this.up) return;
    for (const other of this.#network.connections) {
      const isOlder =
        other.router === this.router &&
        other.dealer.process.name === this.dealer.process.name &&
        other.dealer.serial < this.dealer.serial;
      if (isOlder) other.up.isSuperseded = true;
    }
  }

  /** A TCP reset, in both directions; of a half-open connection only the DEALER learns. */
  reset(isHalfOpen: boolean): void {
    const { world, settings } = this.#network;
    world.effects.reset++;
    for (const lane of [this.up, this.down]) {
      lane.cut(Math.floor(world.random() * (lane.inFlight + 1)));
    }
    world.after(settings.noticeDelay, () => this.#tell(this.dealer));
    if (!isHalfOpen) world.after(settings.noticeDelay, () => this.#tell(this.router));
  }

  /** `socket` has closed and has written what it wanted to. */
  leave(socket: SimSocket): void {
    if (this.#done.has(socket)) return;
    const { world, settings } = this.#network;
    const lane = socket === this.dealer ? this.up : this.down;
    lane.finish(settings.ghostDelay === 0 ? 0 : settings.ghostDelay * world.random());
    this.finished(socket);
  }

  /** The process of `socket` died, perhaps before all that it had handed over was written. */
  die(socket: SimSocket): void {
    // One that had left before has its end of stream on the wire, which the kernel still sends.
    if (this.#done.has(socket)) return;
    const { world, settings } = this.#network;
    const lane = socket === this.dealer ? this.up : this.down;
    lane.dropQueue('lostAtCrash');
    if (world.random() < settings.lossAtCrash) {
      lane.truncate(Math.floor(world.random() * (lane.inFlight + 1)));
    }
    this.leave(socket);
  }

  /**
   * Another connection with the same routing id takes its place in the ROUTER, which is told of the
   * new one only: a DEALER that is still there is a zombie, until the ROUTER closes.
   */
  replaced(): void {
    this.#network.world.effects.handover++;
    this.up.discard('lostAtHandover');
    this.down.dropQueue('lostAtHandover');
    if (this.#done.has(this.dealer)) this.finished(this.router);
  }

  /** `socket` will do nothing about this connection any more. */
  finished(socket: SimSocket): void {
    this.#done.add(socket);
    if (this.#done.size < 2) return;
    this.up.cut(0);
    this.down.cut(0);
    this.#network.forget(this);
  }

  laneDrained(lane: Lane): void {
    this.leave(lane.from);
    lane.from.drained();
  }

  laneEnded(lane: Lane): void {
    const { world, settings } = this.#network;
    world.after(settings.noticeDelay, () => this.#tell(lane.to));
  }

  /** The news that the connection broke waits its turn behind the messages received before. */
  #tell(socket: SimSocket): void {
    if (this.#done.has(socket)) return;
    socket.process.receive({
      deliver: () => {
        socket.lost(this);
        this.finished(socket);
      },
      abandon: () => undefined,
    });
  }
}
