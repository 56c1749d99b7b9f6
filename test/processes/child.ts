/** Child processes of a test, told apart by their id and read line by line: no test sleeps. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

/** How a child ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A running program and all it has printed. */
export class Child {
  /** What it is called in messages. */
  readonly name: string;
  /** Everything it printed, line by line. */
  readonly lines: string[] = [];
  /** Resolves when it has ended and all its output was read. */
  readonly ended: Promise<Ending>;
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  #errors = '';
  #rest = '';
  #read = 0;
  #ending: Ending | undefined;
  #wakers: (() => void)[] = [];

  constructor(name: string, command: string, args: readonly string[]) {
    this.name = name;
    this.#process = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#process.stdin.on('error', () => undefined); // writing to a child that has ended
    this.#process.stderr.on('data', (data: Buffer) => (this.#errors += data.toString()));
    this.#process.stdout.on('data', (data: Buffer) => this.#take(data.toString()));
    this.ended = new Promise((resolve, reject) => {
      this.#process.once('error', reject);
      this.#process.once('close', (code, signal) => {
        this.#ending = { code, signal };
        this.#wake();
        resolve(this.#ending);
      });
    });
  }

  /** What it printed on stderr. */
  get errors(): string {
    return this.#errors;
  }

  /** How it ended; undefined while it runs. */
  get ending(): Ending | undefined {
    return this.#ending;
  }

  /** The next line that matches, among those not yet passed over; rejects if it ends before. */
  async line(pattern: RegExp): Promise<string> {
    for (;;) {
      while (this.#read < this.lines.length) {
        const line = this.lines[this.#read++]!;
        if (pattern.test(line)) return line;
      }
      if (this.#ending !== undefined) {
        const { code, signal } = this.#ending;
        const how = `ended (${signal ?? code}) before it printed ${String(pattern)}`;
        throw new Error(`${this.name} ${how}\n${this.#errors}`);
      }
      await new Promise<void>((resolve) => this.#wakers.push(resolve));
    }
  }

  /** Passes over all that it has printed so far: `line` waits for something new. */
  passOver(): void {
    this.#read = this.lines.length;
  }

  /** Gives it one line to read. */
  write(line: string): void {
    this.#process.stdin.write(`${line}\n`);
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }

  /** Sends a signal that ends it, and waits until it has ended. */
  async end(signal: NodeJS.Signals): Promise<Ending> {
    this.#process.kill(signal);
    return await this.ended;
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    this.lines.push(...lines);
    if (lines.length > 0) this.#wake();
  }

  #wake(): void {
    for (const wake of this.#wakers.splice(0)) wake();
  }
}
