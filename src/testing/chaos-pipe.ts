/**
 * One direction of one proxied connection: a queue of bytes that leave when they are due.
 *
 * Bytes never overtake each other, whatever the jitter. The end of the stream travels in the queue
 * as well, so that what a closing side wrote last arrives before the news that it is gone.
 */
import type { Socket } from 'node:net';
import type { Random } from '../core/retry.ts';

/** How bytes travel in one direction. */
export interface ChaosShape {
  /** Milliseconds that everything takes. */
  readonly latency: number;
  /** Milliseconds that it takes more, at most; drawn for each chunk read. */
  readonly jitter: number;
  /** Bytes a millisecond. */
  readonly bandwidth: number;
}

export interface ChaosPipeOptions {
  readonly direction: 'up' | 'down';
  readonly shape: ChaosShape;
  readonly bufferBytes: number;
  readonly random: Random;
  readonly onPassed: (bytes: number) => void;
}

/** What ends a stream: in order, or by a reset. */
type End = 'end' | 'reset';

interface Chunk {
  content: Buffer | End;
  readonly due: number;
}

/** For `ChaosProxy`, which owns both sockets. */
export class ChaosPipe {
  readonly direction: 'up' | 'down';
  shape: ChaosShape;
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #options: ChaosPipeOptions;
  readonly #queue: Chunk[] = [];
  #heldBytes = 0;
  #writtenAt = 0;
  #lastDue = 0;
  #isPaused = false;
  #isStopped = false;
  #isFull = false;
  #timer: NodeJS.Timeout | undefined;
  #allowance = Infinity;
  #onSpent: (() => void) | undefined;

  constructor(from: Socket, to: Socket, options: ChaosPipeOptions) {
    this.direction = options.direction;
    this.shape = options.shape;
    this.#from = from;
    this.#to = to;
    this.#options = options;
    from.on('data', (bytes: Buffer) => this.#take(bytes));
    from.once('end', () => this.#put('end', 0));
    from.once('close', (hadError) => this.#put(hadError ? 'reset' : 'end', 0));
    to.on('drain', () => {
      this.#isFull = false;
      this.#pump();
    });
  }

  /** Bytes read and not written. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#pump();
  }

  /** Writes `bytes` more bytes, then calls back once and writes nothing else. */
  passOnly(bytes: number, onSpent: () => void): void {
    this.#allowance = bytes;
    this.#onSpent = onSpent;
  }

  /** Takes `passOnly` back. */
  passAll(): void {
    this.#allowance = Infinity;
    this.#onSpent = undefined;
  }

  /** Forgets what it holds; what still arrives is read and dropped. */
  stop(): void {
    this.#isStopped = true;
    this.#queue.length = 0;
    this.#heldBytes = 0;
    clearTimeout(this.#timer);
    this.#from.resume();
  }

  #take(bytes: Buffer): void {
    if (this.#isStopped) return;
    this.#heldBytes += bytes.length;
    if (this.#heldBytes >= this.#options.bufferBytes) this.#from.pause();
    this.#put(bytes, bytes.length);
  }

  #put(content: Buffer | End, bytes: number): void {
    if (this.#isStopped) return;
    const { latency, jitter, bandwidth } = this.shape;
    const now = performance.now();
    this.#writtenAt = Math.max(now, this.#writtenAt) + bytes / bandwidth;
    const due = this.#writtenAt + latency + jitter * this.#options.random();
    this.#lastDue = Math.max(this.#lastDue, due);
    this.#queue.push({ content, due: this.#lastDue });
    this.#pump();
  }

  #pump(): void {
    clearTimeout(this.#timer);
    while (!this.#isPaused && !this.#isStopped && !this.#isFull) {
      const chunk = this.#queue[0];
      if (chunk === undefined) return;
      const wait = chunk.due - performance.now();
      if (wait > 0) {
        this.#timer = setTimeout(() => this.#pump(), wait);
        return;
      }
      if (typeof chunk.content === 'string') {
        this.#queue.shift();
        this.#finish(chunk.content);
      } else this.#write(chunk, chunk.content);
    }
  }

  #write(chunk: Chunk, bytes: Buffer): void {
    const count = Math.min(bytes.length, this.#allowance);
    if (count < bytes.length) chunk.content = bytes.subarray(count);
    else this.#queue.shift();
    this.#heldBytes -= count;
    this.#allowance -= count;
    if (count > 0) this.#isFull = !this.#to.write(bytes.subarray(0, count));
    this.#options.onPassed(count);
    if (this.#heldBytes < this.#options.bufferBytes) this.#from.resume();
    if (this.#allowance > 0) return;
    // Those bytes first have to leave: a reset would overtake them.
    this.#isStopped = true;
    this.#to.write('', () => this.#onSpent?.());
  }

  #finish(end: End): void {
    if (end === 'end') this.#to.end();
    else {
      this.stop();
      resetSocket(this.#to);
    }
  }
}

/** Closes a connection by a TCP reset, or plainly where Node would leak it: after its end was sent. */
export function resetSocket(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
