/**
 * The machine contract: every protocol role is a machine without I/O.
 *
 * A machine has no socket, timer, clock, promise or source of randomness inside. Whoever drives it
 * (the driver over real sockets, or the simulator) tells it what time it is and what happened; it
 * answers by recording effects in its outbox. The same machine therefore runs in production and in
 * thousands of simulated schedules a second.
 *
 * Five laws hold for every machine (`unsinkable/testing` checks them, see `laws.ts` there):
 *  1. after `handleTimeout(now)`, `nextTimeout > now`; before `nextTimeout` it changes nothing
 *  2. nothing throws, whatever the bytes
 *  3. same inputs, same outputs
 *  4. every queue stays within its bound in count and bytes; overflow is an explicit refusal
 *  5. every call ends in exactly one outcome event
 */

/** Milliseconds on a monotonic clock, given by whoever drives the machine. `Infinity` is never. */
export type Instant = number;

/**
 * A peer's routing id, each byte one character (latin1), so that it keys a Map.
 * Sockets that have one peer only (DEALER) use the empty address.
 */
export type Address = string;

/** The frames of a message or of a body. Borrowed until the call returns unless said otherwise. */
export type Frames = readonly Uint8Array[];

/** All that a machine may ask of the world. Calls only record: none re-enters the machine. */
export interface Outbox<Port extends string, Output, Event> {
  /** Opens a fresh socket on `port` (what was open there is closed) and connects it. */
  open(port: Port, endpoint: string): void;
  /**
   * Closes the socket on `port`. What was queued for it is dropped, or with `flush` still sent:
   * for a farewell that should arrive.
   */
  close(port: Port, flush?: boolean): void;
  /**
   * Encodes `command` at once and queues it for one peer. False: that peer's byte-bounded queue is
   * full and nothing was queued; `handleWritable` says when it has room again.
   */
  send(port: Port, to: Address, command: Output): boolean;
  /** Asks for `batch` to be made durable; `handleStored` with the same token is the answer. */
  store(token: number, batch: unknown): void;
  /** Tells the user that something happened. */
  emit(event: Event): void;
}

/** One protocol role. See the file header for what it may not contain and the laws it keeps. */
export interface Machine<Port extends string, Input, Call> {
  /** A decoded command arrived. It is borrowed: copy what is kept (`keepFrames`). */
  handleCommand(now: Instant, port: Port, from: Address, command: Input): void;
  /** A message arrived that no dialect understands; `reason` says why, for counters and logs. */
  handleMalformed(now: Instant, port: Port, from: Address, reason: string): void;
  /** What the user asks: a request, a reply, a cancel, a drain. */
  handleCall(now: Instant, call: Call): void;
  /** The link to a peer broke, or it cannot be reached. A hint, not a death: see `protocols`. */
  handlePeerGone(now: Instant, port: Port, from: Address): void;
  /** A peer whose queue was full has room again. */
  handleWritable(now: Instant, port: Port, to: Address): void;
  /** The answer to `store`: durable, or not. */
  handleStored(now: Instant, token: number, error?: Error): void;
  /** Time has passed. Afterwards `nextTimeout > now`. */
  handleTimeout(now: Instant): void;
  /** When `handleTimeout` is due; `Infinity` while only an input can change anything. */
  readonly nextTimeout: Instant;
  /** A hash of the whole state, instants relative to `now`: equal hashes, equal futures. */
  fingerprint(now: Instant): string;
}
