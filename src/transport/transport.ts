/**
 * What the driver needs of the world: sockets and a clock, both as interfaces, so that the very same
 * driver runs over zeromq and in the simulator. Callbacks, no promises: simulated time is synchronous.
 */
import type { Address, Frames, Instant } from '../core/machine.ts';

/**
 * ROUTER: many peers, each with an address. DEALER: one peer, the empty address.
 *
 * PUB: what it sends to the empty address goes to all who subscribe at that moment. It is never `full`: a
 * subscriber whose high-water mark has no room for a message does not get it, and nobody is told. SUB
 * subscribes to everything, hears it from the empty address, and sends nothing. Either of them binds, or
 * connects: one of the two for each socket. Neither is told of connections. A PUB that connects sends
 * nothing before its SUB's subscription has come; from then on what it sends while the link is broken
 * waits for the next one.
 */
export type SocketKind = 'router' | 'dealer' | 'pub' | 'sub';

/**
 * How a send ended. `sent`: handed over, which promises nothing about arrival. `full`: the peer's
 * high-water mark is reached, try later. `unroutable`: no such peer. `closed`: the socket is.
 */
export type SendOutcome = 'sent' | 'full' | 'unroutable' | 'closed';

/** What a socket tells its owner. Never called from inside one of the socket's own methods. */
export interface SocketHandler {
  /** A message arrived. `frames` are without the routing id, borrowed until the call returns. */
  onMessage(from: Address, frames: Frames): void;
  /**
   * The connection to that peer broke: a fast hint where the platform gives one. A ROUTER's owner is
   * also told when a peer comes (back) on a new connection, before its first message on it: whatever
   * was under way on an older one is over. So it may be told twice, or of a peer that it never heard.
   */
  onPeerGone(from: Address): void;
}

/**
 * What a ROUTER that connects calls the socket behind an endpoint: any text of 1 to 255 bytes that does
 * not begin with a zero byte, or `true` for the real endpoint itself. Peers of other kinds do not see it.
 */
export type SocketName = string | true;

export interface TransportSocket {
  /**
   * Answers with the real endpoint, or an error (`BindError`). Several binds are several endpoints, each
   * with a name of its own; once one has a name, give the later ones theirs, as there is no way back.
   */
  bind(
    endpoint: string,
    done: (error: Error | undefined, endpoint: string) => void,
    name?: SocketName,
  ): void;
  /** Starts connecting, and reconnects for ever. The endpoint was checked before. */
  connect(endpoint: string): void;
  /**
   * Hands one message over; `done` is called once, at once or later. The caller sends the next
   * message to the same peer only after that, so that a refused one is not overtaken.
   */
  send(to: Address, frames: Frames, done: (outcome: SendOutcome) => void): void;
  /** Closes; what was handed over may still leave for `linger` milliseconds. */
  close(linger: number): void;
}

export interface Transport {
  open(kind: SocketKind, handler: SocketHandler): TransportSocket;
}

export interface Clock {
  /** Monotonic milliseconds. */
  now(): Instant;
  /** Calls back once at or after `at`; the returned function takes that back. */
  wakeAt(at: Instant, callback: () => void): () => void;
  /** Calls back when all that is at hand now has been received: the moment to send what came of it. */
  atTurnEnd(callback: () => void): void;
}
