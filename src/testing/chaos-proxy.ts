/**
 * A TCP proxy that does to a connection what bad networks do, on command.
 *
 * It stands between a real client and a real server on a port of its own. The one idea: each direction
 * of each connection is one queue of bytes that leave when they are due. Every fault is a change of
 * when that is, or an end of the queue before its time.
 */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Random } from '../core/retry.ts';
import { ChaosPipe, resetSocket, type ChaosShape } from './chaos-pipe.ts';

export type { ChaosShape } from './chaos-pipe.ts';

/** `up`: from the connecting side to the target; `down`: back. */
export type ChaosDirection = 'up' | 'down' | 'both';

export interface ChaosProxyOptions extends Partial<ChaosShape> {
  /** Where connections are passed on to. */
  readonly port: number;
  /** Default 127.0.0.1, where the proxy itself always listens. */
  readonly host?: string;
  /** Where to listen. Default 0: a free port. */
  readonly listenPort?: number;
  /** Bytes held back in each direction before the sender's own buffers fill. Default 1 MiB. */
  readonly bufferBytes?: number;
  /** Decides the jitter. Default `Math.random`. */
  readonly random?: Random;
}

/** What the proxy really did, counted. */
export interface ChaosProxyCounters {
  /** Connections accepted, stalled and refused ones included. */
  accepted: number;
  /** Connections accepted by `stall`, which never reached the target. */
  stalled: number;
  /** Connections that `refuse` reset at once. */
  refused: number;
  /** Connections broken by `reset`. */
  reset: number;
  /** Connections broken by `cutAfter`. */
  cut: number;
  /** Bytes passed on. */
  bytesUp: number;
  bytesDown: number;
  /** Bytes accepted from one side and dropped by a reset or a cut. */
  bytesLost: number;
}

export interface ChaosResetOptions {
  /** `one`: the oldest connection only. Default all. */
  readonly connections?: 'all' | 'one';
  /** `client`: the target is not told, and keeps a half-open connection. Default both. */
  readonly side?: 'both' | 'client';
}

interface Link {
  readonly client: Socket;
  /** Missing when it was stalled. */
  readonly target: Socket | undefined;
  readonly pipes: readonly ChaosPipe[];
  /** Its client is gone, and its target does not know. */
  isHalfOpen: boolean;
}

const DEFAULT_SHAPE: ChaosShape = { latency: 0, jitter: 0, bandwidth: Infinity };

/** One listening port, one target, and any number of connections between them. */
export class ChaosProxy {
  readonly counters: ChaosProxyCounters = {
    accepted: 0,
    stalled: 0,
    refused: 0,
    reset: 0,
    cut: 0,
    bytesUp: 0,
    bytesDown: 0,
    bytesLost: 0,
  };
  readonly #options: ChaosProxyOptions;
  readonly #server: Server;
  readonly #links = new Set<Link>();
  readonly #shapes: { up: ChaosShape; down: ChaosShape };
  readonly #paused = { up: false, down: false };
  #cut: { readonly bytes: number; readonly direction: 'up' | 'down' } | undefined;
  #mode: 'forward' | 'stall' | 'refuse' = 'forward';

  /** Listens, and resolves when it does. Rejects if it cannot. */
  static async open(options: ChaosProxyOptions): Promise<ChaosProxy> {
    const proxy = new ChaosProxy(options);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject);
      proxy.#server.listen(options.listenPort ?? 0, '127.0.0.1', resolve);
    });
    return proxy;
  }

  private constructor(options: ChaosProxyOptions) {
    const { latency, jitter, bandwidth } = { ...DEFAULT_SHAPE, ...options };
    const shape = { latency, jitter, bandwidth };
    this.#options = options;
    this.#shapes = { up: shape, down: shape };
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
  }

  /** The port to connect to, on 127.0.0.1. */
  get port(): number {
    return portOf(this.#server.address());
  }

  /** Connections at present, stalled and half-open ones included. */
  get connections(): number {
    return this.#links.size;
  }

  /** Bytes accepted from one side and not passed on yet. */
  get heldBytes(): number {
    let bytes = 0;
    for (const { pipes } of this.#links) for (const pipe of pipes) bytes += pipe.heldBytes;
    return bytes;
  }

  // Faults

  /** Changes how bytes travel from now on; those on their way keep their time. */
  shape(change: Partial<ChaosShape>, direction: ChaosDirection = 'both'): void {
    for (const side of sidesOf(direction)) {
      this.#shapes[side] = { ...this.#shapes[side], ...change };
    }
    this.#apply();
  }

  /** Holds all bytes of a direction, those of new connections too, until `resume`. None is lost. */
  pause(direction: ChaosDirection = 'both'): void {
    for (const side of sidesOf(direction)) this.#paused[side] = true;
    this.#apply();
  }

  /** Lets a paused direction go on. */
  resume(direction: ChaosDirection = 'both'): void {
    for (const side of sidesOf(direction)) this.#paused[side] = false;
    this.#apply();
  }

  /** New connections are accepted and then nothing happens, until `forward`. */
  stall(): void {
    this.#mode = 'stall';
  }

  /** New connections are reset at once, until `forward`. */
  refuse(): void {
    this.#mode = 'refuse';
  }

  /** New connections reach the target again; those that were stalled are reset. */
  forward(): void {
    this.#mode = 'forward';
    for (const link of this.#links) if (link.target === undefined) resetSocket(link.client);
  }

  /** Breaks connections with a TCP reset, what is held being lost; returns how many. */
  reset(options: ChaosResetOptions = {}): number {
    const live = [...this.#links].filter((link) => !link.isHalfOpen);
    const chosen = options.connections === 'one' ? live.slice(0, 1) : live;
    for (const link of chosen) this.#break(link, options.side === 'client');
    this.counters.reset += chosen.length;
    return chosen.length;
  }

  /**
   * Breaks the connection over which the next `bytes` bytes of a direction have just passed: inside a
   * frame, if that is where they end. Once, on whichever connection it comes about first.
   */
  cutAfter(bytes: number, direction: 'up' | 'down'): void {
    this.#cut = { bytes, direction };
    for (const { pipes } of this.#links) for (const pipe of pipes) this.#limit(pipe);
  }

  /** Stops listening and resets every connection; resolves when the port is free. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const link of this.#links) this.#drop(link);
    await closed;
  }

  // Connections

  #accept(client: Socket): void {
    this.counters.accepted++;
    client.on('error', ignore);
    if (this.#mode === 'refuse') {
      this.counters.refused++;
      client.resetAndDestroy();
      return;
    }
    if (this.#mode === 'stall') {
      this.counters.stalled++;
      this.#watch({ client, target: undefined, pipes: [], isHalfOpen: false });
      return;
    }
    const { port, host = '127.0.0.1' } = this.#options;
    const target = connect({ port, host, allowHalfOpen: true });
    const pipes = [this.#pipe(client, target, 'up'), this.#pipe(target, client, 'down')];
    this.#watch({ client, target, pipes, isHalfOpen: false });
  }

  #pipe(from: Socket, to: Socket, direction: 'up' | 'down'): ChaosPipe {
    const { bufferBytes = 2 ** 20, random = Math.random } = this.#options;
    const pipe = new ChaosPipe(from, to, {
      direction,
      bufferBytes,
      random,
      shape: this.#shapes[direction],
      onPassed: (bytes) => (this.counters[direction === 'up' ? 'bytesUp' : 'bytesDown'] += bytes),
    });
    if (this.#paused[direction]) pipe.pause();
    this.#limit(pipe);
    return pipe;
  }

  #watch(link: Link): void {
    const { client, target } = link;
    this.#links.add(link);
    for (const socket of [client, target]) {
      socket?.setNoDelay(true);
      socket?.on('error', ignore);
      socket?.once('close', () => {
        // The bytes of a side that closed still travel; a pipe then ends the other side.
        if (client.destroyed && (target?.destroyed ?? true)) this.#links.delete(link);
      });
    }
  }

  #limit(pipe: ChaosPipe): void {
    const cut = this.#cut;
    if (cut?.direction !== pipe.direction) return;
    pipe.passOnly(cut.bytes, () => {
      if (this.#cut !== cut) return;
      this.#cut = undefined;
      this.counters.cut++;
      for (const link of this.#links) {
        if (link.pipes.includes(pipe)) this.#break(link, false);
        else for (const other of link.pipes) other.passAll();
      }
    });
  }

  #break(link: Link, isHalfOpen: boolean): void {
    this.counters.bytesLost += link.pipes.reduce((sum, pipe) => sum + pipe.heldBytes, 0);
    link.isHalfOpen = isHalfOpen;
    for (const pipe of link.pipes) pipe.stop();
    resetSocket(link.client);
    if (isHalfOpen) link.target?.once('end', () => link.target?.destroy());
    else if (link.target !== undefined) resetSocket(link.target);
  }

  #drop(link: Link): void {
    for (const pipe of link.pipes) pipe.stop();
    resetSocket(link.client);
    if (link.target !== undefined) resetSocket(link.target);
  }

  #apply(): void {
    for (const { pipes } of this.#links) {
      for (const pipe of pipes) {
        pipe.shape = this.#shapes[pipe.direction];
        if (this.#paused[pipe.direction]) pipe.pause();
        else pipe.resume();
      }
    }
  }
}

/** A broken connection is this proxy's trade; `close` follows and says all. */
function ignore(): void {}

function sidesOf(direction: ChaosDirection): readonly ('up' | 'down')[] {
  return direction === 'both' ? ['up', 'down'] : [direction];
}

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === 'string') throw new Error('this proxy is closed');
  return address.port;
}
