/** The built `unsinkable` command as child processes, for the tests that are its users. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const MAIN = resolve('dist/cli/main.js');

export interface Ending {
  readonly code: number | null;
  readonly stdout: string;
  readonly bytes: Buffer;
  readonly stderr: string;
}

export interface Running {
  readonly process: ChildProcess;
  readonly ended: Promise<Ending>;
  /** Resolves when that text has been written; rejects if the command ends without. */
  stdout(text: string | RegExp): Promise<RegExpMatchArray>;
  stderr(text: string | RegExp): Promise<RegExpMatchArray>;
}

const running = new Set<Running>();

/** Starts a command. `input` is its stdin; without, stdin stays open and empty. */
export function start(args: readonly string[], input?: string | Uint8Array): Running {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: 'pipe' });
  if (input !== undefined) child.stdin.end(input);
  const chunks: Buffer[] = [];
  let stderr = '';
  const stdout = (): string => Buffer.concat(chunks).toString();
  child.stdout.on('data', (data: Buffer) => chunks.push(data));
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  const ended = new Promise<Ending>((done) => {
    child.once('close', (code) => {
      running.delete(command);
      done({ code, stdout: stdout(), bytes: Buffer.concat(chunks), stderr });
    });
  });
  const seen = (read: () => string, source: NodeJS.ReadableStream) => (text: string | RegExp) =>
    new Promise<RegExpMatchArray>((found, reject) => {
      const look = (): void => {
        const match = read().match(typeof text === 'string' ? literal(text) : text);
        if (match !== null) found(match);
      };
      look();
      source.on('data', look);
      void ended.then(({ code }) =>
        reject(new Error(`ended with ${code} before '${text}': ${stdout()} ${stderr}`)),
      );
    });
  const command: Running = {
    process: child,
    ended,
    stdout: seen(stdout, child.stdout),
    stderr: seen(() => stderr, child.stderr),
  };
  running.add(command);
  return command;
}

/** Runs a command to its end. */
export function run(args: readonly string[], input: string | Uint8Array = ''): Promise<Ending> {
  return start(args, input).ended;
}

/** A broker that serves, and its endpoint. */
export async function startBroker(...args: string[]): Promise<Running & { endpoint: string }> {
  const broker = start(['broker', '--bind', 'tcp://127.0.0.1:*', ...args]);
  const [, endpoint] = await broker.stdout(/^ready broker (\S+)\n/);
  return { ...broker, endpoint: endpoint! };
}

/** A worker that serves. */
export async function startWorker(
  service: string,
  endpoint: string,
  ...args: string[]
): Promise<Running> {
  const worker = start(['worker', service, '--connect', endpoint, ...args]);
  await worker.stdout(`ready worker ${endpoint}\n`);
  return worker;
}

/** Ends whatever a test has left running, the hard way. */
export async function endAll(): Promise<void> {
  for (const command of running) command.process.kill('SIGKILL');
  await Promise.all([...running].map((command) => command.ended));
}

/** A fresh folder, and what removes it. */
export function freshFolder(): { path: (name: string) => string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'uns-cli-'));
  return {
    path: (name) => join(folder, name),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** A shell command for `--exec` that says when it runs, and is done when it is let go. */
export function held(path: (name: string) => string): {
  readonly command: string;
  readonly started: Promise<void>;
  readonly letGo: () => void;
} {
  const [startedFile, goFile] = [path('started'), path('go')];
  return {
    command: `touch ${startedFile}; until [ -e ${goFile} ] || [ ! -e ${startedFile} ]; do sleep 0.02; done; echo done`,
    get started() {
      return exists(startedFile);
    },
    letGo: () => writeFileSync(goFile, ''),
  };
}

/** Resolves when `condition` holds; the test's own timeout is the limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(10);
}

/** Resolves when somebody has made that file. */
export function exists(file: string): Promise<void> {
  return until(() => existsSync(file));
}

/** True if a process of that group is alive. */
export function groupLives(group: number): boolean {
  try {
    return process.kill(-group, 0);
  } catch {
    return false; // ESRCH: there is none
  }
}

function literal(text: string): RegExp {
  return new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
}
