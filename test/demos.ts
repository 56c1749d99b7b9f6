/** The demos as their users run them: processes of their own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { vi } from 'vitest';

/** One test's demos, and the folders they run in. */
export class Demos {
  /** Where they are started. */
  readonly home = mkdtempSync(join(tmpdir(), 'demo-'));
  readonly #main: string;
  readonly #temp = join(this.home, 'temp');
  readonly #running = new Set<ChildProcess>();

  /** @param main the demo's program */
  constructor(main: string) {
    this.#main = resolve(main);
    mkdirSync(this.#temp);
  }

  /** Starts the demo with these parameters. */
  start(...parameters: string[]) {
    const child = spawn(process.execPath, [this.#main, ...parameters], {
      cwd: this.home,
      env: { ...process.env, TMPDIR: this.#temp },
    });
    this.#running.add(child);
    let output = '';
    let errors = '';
    child.stdout.on('data', (text: Buffer) => (output += text.toString()));
    child.stderr.on('data', (text: Buffer) => (errors += text.toString()));
    const pids = () => [...errors.matchAll(/\w+ (\d+) started/g)].map(([, id]) => Number(id));
    return {
      child,
      output: () => output,
      errors: () => errors,
      /** The processes it has started, in this order. */
      pids,
      /** When it has ended, and all that it started. */
      ended: new Promise((done) => child.once('close', done)),
      /** When its first kill shows that requests are on their way. */
      hasStarted: () => vi.waitUntil(() => errors.includes(' killed holding '), 20_000),
      /** The number in the row of the table that begins with `label`. */
      row: (label: string): number => {
        const cell = new RegExp(`│ ${label}[^│]*│ +([\\d,]+) │`).exec(output)?.[1];
        return Number(cell?.replaceAll(',', ''));
      },
    };
  }

  /** What they have left in the temp folder. */
  leftOver(): string[] {
    return readdirSync(this.#temp);
  }

  /** Ends those that still run, and removes the folders. */
  remove(): void {
    for (const child of this.#running) child.kill('SIGKILL');
    rmSync(this.home, { recursive: true, force: true });
  }
}

export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
