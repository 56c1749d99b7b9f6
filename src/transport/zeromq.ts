/**
 * The transport over zeromq.js: the only file that imports `zeromq`.
 *
 * The one idea: nothing ever waits inside zeromq but the receive loop. A send succeeds or fails at
 * once, a bind is over when it returns, so no two operations can get into each other's way.
 */
import { constants } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { capability, Dealer, Publisher, Router, XSubscriber } from 'zeromq';
import { ClosedError, UnsinkableError } from '../core/errors.ts';
import { equalBytes, fromAddress, toAddress } from '../core/frames.ts';
import type { Address, Frames } from '../core/machine.ts';
import { completeOptions, count, such, type Rules } from '../core/options.ts';
import { bindError, codeOf, occupiedError } from './bind-errors.ts';
import { checkEndpoint, ipcPathOf } from './endpoint.ts';
import { claimIpcPath, freshIpcPath, releaseIpcPath } from './ipc-probe.ts';
import {
  chooseIpVersion,
  chooseName,
  DRAFT,
  NOTIFY_CONNECT,
  setDraftOption,
} from './socket-options.ts';
import type {
  SendOutcome,
  SocketHandler,
  SocketKind,
  SocketName,
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
   * keep a connection busy, little enough that the driver's byte-bounded queue is what counts. Of a PUB,
   * before which nothing waits and which loses what does not fit, 10,000.
   */
  readonly sendHighWaterMark?: number;
  /** Whether to ask for notices of broken and of new connections, where there are any. Default true. */
  readonly notices?: boolean;
  /**
   * Milliseconds between two attempts to connect, at most: the first two are 10 apart, and libzmq doubles
   * from there. Default 1,000.
   */
  readonly slowestReconnect?: number;
}

/** First and slowest reconnect, in milliseconds; libzmq doubles from the one to the other. */
const FIRST_RECONNECT = 10;
const SLOWEST_RECONNECT = 1000;

/** Default high-water mark of a PUB. */
const PUBLISHED = 10_000;

const RULES = {
  maxMessageSize: such(
    2 ** 30,
    `a whole number of bytes, from 1 to ${constants.MAX_LENGTH}`,
    (value) => count(1).accepts(value) && Number(value) <= constants.MAX_LENGTH,
  ),
  sendHighWaterMark: count(64),
  notices: such(true, 'true or false', (value) => typeof value === 'boolean'),
  slowestReconnect: count(SLOWEST_RECONNECT, FIRST_RECONNECT),
} satisfies Rules<ZeromqOptions>;

/** How many free ports are tried before a bind under the name of its endpoint gives up. */
const PORT_TRIES = 10;

/** What an XSUB sends to subscribe to all that begins with nothing, which is all. */
const SUBSCRIPTION = Buffer.of(1);

type AnySocket = Router | Dealer | Publisher | XSubscriber;

/**
 * Sockets of zeromq.js, on its one shared context (1023 sockets a process).
 * `inproc://` never reconnects, and tells the ROUTER alone, and only when a peer is gone.
 * @throws InvalidArgumentError `ERR_UNKNOWN_OPTION` or `ERR_INVALID_OPTION`
 */
export function zeromqTransport(options?: ZeromqOptions): Transport {
  const complete = completeOptions('zeromqTransport', RULES, options);
  const isChosen = options?.sendHighWaterMark !== undefined;
  const ofPub = isChosen ? complete : { ...complete, sendHighWaterMark: PUBLISHED };
  return {
    open: (kind, handler) => new ZeromqSocket(kind, handler, kind === 'pub' ? ofPub : complete),
  };
}

class ZeromqSocket implements TransportSocket {
  readonly #kind: SocketKind;
  readonly #socket: AnySocket;
  readonly #handler: SocketHandler;
  /** Random and never sent, so that no peer can forge it. */
  readonly #notice: Buffer = randomBytes(16);
  readonly #hasNotices: boolean;
  readonly #ipcPaths: string[] = [];
  #binding: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(kind: SocketKind, handler: SocketHandler, options: Required<ZeromqOptions>) {
    this.#kind = kind;
    this.#handler = handler;
    const hasPeers = kind === 'router' || kind === 'dealer';
    this.#hasNotices = hasPeers && options.notices && hasDisconnectNotices;
    // Bare first: an option that is refused inside zeromq's constructor crashes the process at exit.
    this.#socket = createSocket(kind);
    try {
      this.#configure(options);
    } catch (error) {
      this.#socket.close();
      throw error;
    }
    if (!(this.#socket instanceof Publisher)) void this.#receiveLoop(this.#socket);
  }

  bind(
    endpoint: string,
    done: (error: Error | undefined, endpoint: string) => void,
    name?: SocketName,
  ): void {
    // One after the other: which endpoint was bound last is how the real one is known.
    this.#binding = this.#binding.then(() => this.#bind(endpoint, name, done));
  }

  connect(endpoint: string): void {
    if (this.#closed) return;
    chooseIpVersion(this.#socket, endpoint);
    this.#chooseReceiveLimit(endpoint);
    this.#socket.connect(endpoint);
    this.#lookAgain();
  }

  /** The frames are handed over, large ones uncopied: they must never be changed afterwards. */
  send(to: Address, frames: Frames, done: (outcome: SendOutcome) => void): void {
    const socket = this.#socket;
    // What an XSUB sends are subscriptions, and a PUB has one address only.
    const isMute = socket instanceof XSubscriber || (socket instanceof Publisher && to !== '');
    if (isMute) return done(this.#closed ? 'closed' : 'unroutable');
    const message = this.#kind === 'router' ? [fromAddress(to), ...frames] : [...frames];
    void this.#send(socket, message, done);
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
    socket.reconnectMaxInterval = options.slowestReconnect;
    if (socket instanceof Router) {
      socket.mandatory = true;
      socket.handover = true;
    } else if (socket instanceof XSubscriber) {
      // Kept, and sent again on each connection.
      void socket.send(SUBSCRIPTION);
    } else if (socket instanceof Dealer && this.#hasNotices) {
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
      setDraftOption(this.#socket, DRAFT.disconnectMessage, this.#notice);
      setDraftOption(this.#socket, DRAFT.routerNotify, NOTIFY_CONNECT);
    } else {
      setDraftOption(this.#socket, DRAFT.hiccupMessage, this.#notice);
    }
  }

  async #bind(
    endpoint: string,
    name: SocketName | undefined,
    done: (error: Error | undefined, endpoint: string) => void,
  ): Promise<void> {
    let real = endpoint;
    let failure: Error | undefined;
    try {
      real = await this.#bindNow(endpoint, name);
    } catch (error) {
      failure = error instanceof UnsinkableError ? error : bindError(endpoint, error);
    }
    done(failure, real);
  }

  async #bindNow(asked: string, name: SocketName | undefined): Promise<string> {
    const checked = checkEndpoint(asked, 'bind');
    const endpoint = checked === 'ipc://*' ? `ipc://${freshIpcPath()}` : checked;
    const path = ipcPathOf(endpoint);
    if (path !== undefined) {
      const occupant = await claimIpcPath(path);
      if (occupant !== 'nobody') throw occupiedError(endpoint, occupant);
    }
    try {
      if (name === true) await this.#bindByItsName(endpoint);
      else this.#bindAs(name, endpoint);
    } catch (error) {
      if (path !== undefined) releaseIpcPath(path);
      throw error;
    }
    if (path !== undefined) this.#ipcPaths.push(path);
    this.#lookAgain();
    return this.#socket.lastEndpoint ?? endpoint;
  }

  /** A name is given before the bind: so of an endpoint that the bind would choose, it is chosen here. */
  async #bindByItsName(endpoint: string): Promise<void> {
    for (let tries = 1; ; tries++) {
      const real = realEndpoint(endpoint);
      // The socket that had the port may not have let go of it yet.
      if (tries > 1) await delay(tries ** 2);
      try {
        return this.#bindAs(real, real);
      } catch (error) {
        const isTaken = hasAnyPort(endpoint) && codeOf(error) === 'EADDRINUSE';
        if (!isTaken || tries === PORT_TRIES) throw error;
      }
    }
  }

  #bindAs(name: string | undefined, endpoint: string): void {
    if (this.#closed) throw new ClosedError('this socket');
    if (name !== undefined && this.#socket instanceof Router) chooseName(this.#socket, name);
    chooseIpVersion(this.#socket, endpoint);
    // The asynchronous bind works on another thread, while this one may receive: a data race.
    this.#socket.bindSync(endpoint);
  }

  /**
   * None where there are notices. libzmq does not count a notice when it comes in, but does when it is
   * read: at the next report of what was read (each half of the limit, 500 messages) more is read than
   * ever came, which looks like a full queue, and the socket hears nothing any more. In-process links
   * have no such notices, and there the limit of one side is that of both.
   */
  #chooseReceiveLimit(endpoint: string): void {
    const socket = this.#socket;
    if (!(socket instanceof Dealer) || !this.#hasNotices || endpoint.startsWith('inproc:')) return;
    socket.receiveHighWaterMark = 0;
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
  async #receiveLoop(socket: Exclude<AnySocket, Publisher>): Promise<void> {
    while (!this.#closed) {
      let frames: Buffer[];
      try {
        frames = await socket.receive();
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

  async #send(
    socket: AnySocket,
    message: Uint8Array[],
    done: (outcome: SendOutcome) => void,
  ): Promise<void> {
    let outcome: SendOutcome = 'sent';
    try {
      await socket.send(message);
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

/** True if libzmq is to pick the port. */
function hasAnyPort(endpoint: string): boolean {
  return /^(?:tcp|ws):.*:[*0](?:\/|$)/.test(endpoint);
}

/**
 * What a bind to `endpoint` will report: its host as an address, and a port that is free now.
 * @throws what libzmq reports of a host that this machine does not have
 */
function realEndpoint(endpoint: string): string {
  const [, host, port, path = ''] = /^((?:tcp|ws):.*):([*\d]+)(\/.*)?$/.exec(endpoint) ?? [];
  if (host === undefined) return endpoint;
  const probe = createSocket('router');
  try {
    chooseIpVersion(probe, endpoint);
    probe.bindSync(`${host}:*${path}`);
    const found = probe.lastEndpoint ?? endpoint;
    return hasAnyPort(endpoint) ? found : found.replace(/:\d+(?=\/|$)/, `:${port}`);
  } finally {
    probe.close();
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
  chooseIpVersion(socket, endpoint);
  socket.connect(endpoint);
  return {
    // Full, or not connected: the next one will do.
    send: (frame) => void socket.send(frame).catch(() => undefined),
    close: () => socket.close(),
  };
}

const KINDS = { router: Router, dealer: Dealer, pub: Publisher, sub: XSubscriber } as const;

/** @throws UnsinkableError `ERR_TOO_MANY_SOCKETS`: libzmq has 1,023 for a process */
function createSocket<Kind extends SocketKind>(kind: Kind): InstanceType<(typeof KINDS)[Kind]>;
function createSocket(kind: SocketKind): AnySocket {
  try {
    return new KINDS[kind]();
  } catch (error) {
    const message =
      'this process has too many ZeroMQ sockets: close some clients or workers, or use fewer lanes';
    throw new UnsinkableError('ERR_TOO_MANY_SOCKETS', message, { cause: error });
  }
}
