/**
 * The transport over zeromq.js: the only file that imports `zeromq`.
 *
 * The one idea: nothing ever waits inside zeromq but the receive loop. A send succeeds or fails at
 * once, a bind is over when it returns, so no two operations can get into each other's way.
 */
import { constants } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { capability, Dealer, Router } from 'zeromq';
import { BindError, ClosedError, UnsinkableError } from '../core/errors.ts';
import { equalBytes, fromAddress, toAddress } from '../core/frames.ts';
import type { Address, Frames } from '../core/machine.ts';
import { completeOptions, count, such, type Rules } from '../core/options.ts';
import { checkEndpoint, ipcPathOf } from './endpoint.ts';
import { claimIpcPath, freshIpcPath, releaseIpcPath, type IpcOccupant } from './ipc-probe.ts';
import type {
  SendOutcome,
  SocketHandler,
  SocketKind,
  Transport,
  TransportSocket,
} from './transport.ts';

/** True if the installed zeromq can tell at once that a connection broke. Heartbeats do anyway. */
export const hasDisconnectNotices: boolean = capability.draft === true;

export interface ZeromqOptions {
  /**
   * Largest frame accepted, in bytes; whoever sends a larger one is disconnected. Default 1 GiB: far
   * from anybody's work, and safely less than a Buffer holds, beyond which receiving would crash.
   */
  readonly maxMessageSize?: number;
  /**
   * Messages waiting inside zeromq for one peer, before a send to it is `full`. Default 64: enough to
   * keep a connection busy, little enough that the driver's byte-bounded queue is what counts.
   */
  readonly sendHighWaterMark?: number;
  /** Whether to ask for notices of broken and of new connections, where there are any. Default true. */
  readonly notices?: boolean;
}

const RULES = {
  maxMessageSize: such(
    2 ** 30,
    `a whole number of bytes, from 1 to ${constants.MAX_LENGTH}`,
    (value) => count(1).accepts(value) && Number(value) <= constants.MAX_LENGTH,
  ),
  sendHighWaterMark: count(64),
  notices: such(true, 'true or false', (value) => typeof value === 'boolean'),
} satisfies Rules<ZeromqOptions>;

/** First and slowest reconnect, in milliseconds; libzmq doubles from the one to the other. */
const FIRST_RECONNECT = 10;
const SLOWEST_RECONNECT = 1000;

/** Draft options of libzmq: what a socket is to receive, from itself, when a connection breaks. */
const ZMQ_DISCONNECT_MSG = 111;
const ZMQ_HICCUP_MSG = 114;

/**
 * The draft option that gives a ROUTER an empty message ahead of all others of a new connection. One
 * that takes over the routing id of an older connection throws away the disconnect notice of that
 * one, if it has any: this message is then the only news that a link broke.
 */
const ZMQ_ROUTER_NOTIFY = 97;
const ZMQ_NOTIFY_CONNECT = 1;

/**
 * Sockets of zeromq.js, on its one shared context (1023 sockets a process).
 * `inproc://` never reconnects, and tells the ROUTER alone, and only when a peer is gone.
 * @throws InvalidArgumentError `ERR_UNKNOWN_OPTION` or `ERR_INVALID_OPTION`
 */
export function zeromqTransport(options?: ZeromqOptions): Transport {
  const complete = completeOptions('zeromqTransport', RULES, options);
  return { open: (kind, handler) => new ZeromqSocket(kind, handler, complete) };
}

class ZeromqSocket implements TransportSocket {
  readonly #kind: SocketKind;
  readonly #socket: Router | Dealer;
  readonly #handler: SocketHandler;
  /** Random and never sent, so that no peer can forge it. */
  readonly #notice: Buffer = randomBytes(16);
  readonly #hasNotices: boolean;
  readonly #ipcPaths: string[] = [];
  #closed = false;

  constructor(kind: SocketKind, handler: SocketHandler, options: Required<ZeromqOptions>) {
    this.#kind = kind;
    this.#handler = handler;
    this.#hasNotices = options.notices && hasDisconnectNotices;
    // Bare first: an option that is refused inside zeromq's constructor crashes the process at exit.
    this.#socket = createSocket(kind);
    try {
      this.#configure(options);
    } catch (error) {
      this.#socket.close();
      throw error;
    }
    void this.#receiveLoop();
  }

  bind(endpoint: string, done: (error: Error | undefined, endpoint: string) => void): void {
    void this.#bind(endpoint, done);
  }

  connect(endpoint: string): void {
    if (this.#closed) return;
    this.#chooseIpVersion(endpoint);
    this.#chooseReceiveLimit(endpoint);
    this.#socket.connect(endpoint);
    this.#lookAgain();
  }

  /** The frames are handed over, large ones uncopied: they must never be changed afterwards. */
  send(to: Address, frames: Frames, done: (outcome: SendOutcome) => void): void {
    const message = this.#kind === 'router' ? [fromAddress(to), ...frames] : [...frames];
    void this.#send(message, done);
  }

  close(linger: number): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.linger = linger;
    this.#socket.close();
    for (const path of this.#ipcPaths) releaseIpcPath(path);
  }

  #configure(options: Required<ZeromqOptions>): void {
    const socket = this.#socket;
    // Until close() says otherwise: a thread that ends without closing would hang the process.
    socket.linger = 0;
    socket.sendTimeout = 0;
    socket.sendHighWaterMark = options.sendHighWaterMark;
    socket.maxMessageSize = options.maxMessageSize;
    socket.reconnectInterval = FIRST_RECONNECT;
    socket.reconnectMaxInterval = SLOWEST_RECONNECT;
    if (socket instanceof Router) {
      socket.mandatory = true;
      socket.handover = true;
    } else if (this.#hasNotices) {
      // Kept over reconnects, so that a broken connection does not change the peer's address; fresh
      // for each socket, so that two never share one. As text it has no leading zero byte. Without
      // notices libzmq makes another id for each connection: were it the same one, nobody would ever
      // learn that a link broke, and a reply of several parts could lose some of them unseen.
      socket.routingId = randomBytes(12).toString('base64url');
    }
    if (this.#hasNotices) this.#askForNotices();
  }

  #askForNotices(): void {
    if (this.#kind === 'router') {
      setDraftOption(this.#socket, ZMQ_DISCONNECT_MSG, this.#notice);
      setDraftOption(this.#socket, ZMQ_ROUTER_NOTIFY, ZMQ_NOTIFY_CONNECT);
    } else {
      setDraftOption(this.#socket, ZMQ_HICCUP_MSG, this.#notice);
    }
  }

  async #bind(
    endpoint: string,
    done: (error: Error | undefined, endpoint: string) => void,
  ): Promise<void> {
    let real = endpoint;
    let failure: Error | undefined;
    try {
      real = await this.#bindNow(endpoint);
    } catch (error) {
      failure = error instanceof UnsinkableError ? error : bindError(endpoint, error);
    }
    done(failure, real);
  }

  async #bindNow(asked: string): Promise<string> {
    const checked = checkEndpoint(asked, 'bind');
    const endpoint = checked === 'ipc://*' ? `ipc://${freshIpcPath()}` : checked;
    const path = ipcPathOf(endpoint);
    if (path !== undefined) {
      const occupant = await claimIpcPath(path);
      if (occupant !== 'nobody') throw occupiedError(endpoint, occupant);
    }
    try {
      if (this.#closed) throw new ClosedError('this socket');
      this.#chooseIpVersion(endpoint);
      // The asynchronous bind works on another thread, while this one may receive: a data race.
      this.#socket.bindSync(endpoint);
    } catch (error) {
      if (path !== undefined) releaseIpcPath(path);
      throw error;
    }
    if (path !== undefined) this.#ipcPaths.push(path);
    this.#lookAgain();
    return this.#socket.lastEndpoint ?? endpoint;
  }

  /** IPv6 for IPv6 addresses only: switched on, `localhost` may mean ::1, where nobody listens. */
  #chooseIpVersion(endpoint: string): void {
    const ipv6 = endpoint.includes('://[');
    if (this.#socket.ipv6 !== ipv6) this.#socket.ipv6 = ipv6;
  }

  /**
   * None where there are notices. libzmq does not count a notice when it comes in, but does when it is
   * read: at the next report of what was read (each half of the limit, 500 messages) more is read than
   * ever came, which looks like a full queue, and the socket hears nothing any more. In-process links
   * have no such notices, and there the limit of one side is that of both.
   */
  #chooseReceiveLimit(endpoint: string): void {
    if (this.#kind !== 'dealer' || !this.#hasNotices || endpoint.startsWith('inproc:')) return;
    this.#socket.receiveHighWaterMark = 0;
  }

  /**
   * Binding and connecting can swallow the signal that a message has arrived, and the pending
   * receive would never end. Sending no frames at all makes zeromq.js look again.
   */
  #lookAgain(): void {
    void this.#socket.send([]);
  }

  /**
   * Suspended, it also keeps the socket from being collected as garbage, which would close it.
   * zeromq.js itself lets timers and other events run after 512 messages.
   */
  async #receiveLoop(): Promise<void> {
    while (!this.#closed) {
      let frames: Buffer[];
      try {
        frames = await this.#socket.receive();
      } catch (error) {
        // Closing ends a receive with one of several errors, and EAGAIN says that there was nothing.
        if (this.#closed || codeOf(error) === 'EAGAIN') continue;
        // Nothing explains this; an unhandled rejection is better than a socket gone deaf.
        throw error;
      }
      if (!this.#closed) this.#deliver(frames);
    }
  }

  #deliver(frames: Buffer[]): void {
    const routingId = this.#kind === 'router' ? frames.shift() : undefined;
    const from = routingId === undefined ? '' : toAddress(routingId);
    if (this.#isNotice(frames)) this.#handler.onPeerGone(from);
    else this.#handler.onMessage(from, frames);
  }

  /**
   * A peer that sends a ROUTER one empty frame ends its own link there, and nobody else's; no
   * protocol has such a message.
   */
  #isNotice(frames: readonly Buffer[]): boolean {
    const [first] = frames;
    if (!this.#hasNotices || frames.length !== 1 || first === undefined) return false;
    return (first.length === 0 && this.#kind === 'router') || equalBytes(first, this.#notice);
  }

  async #send(message: Uint8Array[], done: (outcome: SendOutcome) => void): Promise<void> {
    let outcome: SendOutcome = 'sent';
    try {
      await this.#socket.send(message);
    } catch (error) {
      outcome = this.#outcomeOf(error);
    }
    done(outcome);
  }

  #outcomeOf(error: unknown): SendOutcome {
    if (this.#closed) return 'closed';
    // Whatever else it is, this message cannot leave and trying again would not help.
    return codeOf(error) === 'EAGAIN' ? 'full' : 'unroutable';
  }
}

/** A socket that only sends, one frame at a time, and drops what cannot leave at once. */
export interface Sender {
  send(frame: Uint8Array): void;
  close(): void;
}

/** For threads that may end at any time: nothing is ever pending. The endpoint was checked before. */
export function openSender(endpoint: string): Sender {
  const socket = createSocket('dealer');
  socket.linger = 0;
  socket.sendTimeout = 0;
  socket.sendHighWaterMark = 2;
  socket.receiveHighWaterMark = 1;
  socket.immediate = true;
  socket.reconnectInterval = FIRST_RECONNECT;
  socket.reconnectMaxInterval = SLOWEST_RECONNECT;
  socket.ipv6 = endpoint.includes('://[');
  socket.connect(endpoint);
  return {
    // Full, or not connected: the next one will do.
    send: (frame) => void socket.send(frame).catch(() => undefined),
    close: () => socket.close(),
  };
}

/** zeromq.js has methods for options that it gives no name to; its typings keep them protected. */
function setDraftOption(socket: object, option: number, value: Buffer | number): void {
  if (typeof value === 'number') {
    if ('setInt32Option' in socket && typeof socket.setInt32Option === 'function') {
      socket.setInt32Option(option, value);
    }
  } else if ('setStringOption' in socket && typeof socket.setStringOption === 'function') {
    socket.setStringOption(option, value);
  }
}

function occupiedError(endpoint: string, occupant: IpcOccupant): BindError {
  return occupant === 'listener'
    ? new BindError(
        'ERR_ADDRESS_IN_USE',
        endpoint,
        `cannot bind ${endpoint}: somebody listens there; close that socket or choose another path`,
      )
    : new BindError(
        'ERR_BIND_FAILED',
        endpoint,
        `cannot bind ${endpoint}: the file there is not a socket and would be lost; choose another path`,
      );
}

function bindError(endpoint: string, error: unknown): BindError {
  if (codeOf(error) === 'EADDRINUSE') {
    const hint = /^(tcp|ws):/.test(endpoint) ? "port, '*' picks a free one" : 'name';
    return new BindError(
      'ERR_ADDRESS_IN_USE',
      endpoint,
      `cannot bind ${endpoint}: it is in use; close the other socket or choose another ${hint}`,
    );
  }
  const reason = HINTS[codeOf(error) ?? ''] ?? String(error);
  return new BindError('ERR_BIND_FAILED', endpoint, `cannot bind ${endpoint}: ${reason}`);
}

const HINTS: Readonly<Record<string, string>> = {
  EACCES: 'not permitted; choose a port from 1024 up, or a folder that you may write to',
  EADDRNOTAVAIL: "this machine has no such address; use one of its own, or '*' for all",
  ENODEV: "this machine has no such address or interface; use one of its own, or '*' for all",
  ENOENT: 'its folder does not exist; create it first',
  ENOTDIR: 'its folder is a file; choose another path',
};

function codeOf(error: unknown): string | undefined {
  const hasCode = typeof error === 'object' && error !== null && 'code' in error;
  return hasCode && typeof error.code === 'string' ? error.code : undefined;
}

/** @throws UnsinkableError `ERR_TOO_MANY_SOCKETS`: libzmq has 1,023 for a process */
function createSocket(kind: SocketKind): Router | Dealer {
  try {
    return kind === 'router' ? new Router() : new Dealer();
  } catch (error) {
    const message =
      'this process has too many ZeroMQ sockets: close some clients or workers, or use fewer lanes';
    throw new UnsinkableError('ERR_TOO_MANY_SOCKETS', message, { cause: error });
  }
}
