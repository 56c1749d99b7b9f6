/**
 * A shell command as a function from bytes to bytes.
 *
 * It runs in a process group of its own: Ctrl-C at the terminal then reaches only the worker, which
 * drains, and ending a command ends all that it started.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';

const MiB = 1024 * 1024;

/** More than this from one command is an error rather than all of the memory. */
const REPLY_LIMIT = 256 * MiB;

/** How much of stderr is kept, in characters: the end, for its last line. */
const ERRORS_LIMIT = 4096;

/** Milliseconds between asking a command to end and making it. */
const GRACE = 1000;

const hasGroups = process.platform !== 'win32';
const running = new Set<ChildProcessWithoutNullStreams>();

/** Ends every command that runs, at once. */
export function endCommands(): void {
  for (const child of running) end(child, 'SIGKILL');
}

/**
 * Runs `command` with `input` on its stdin; resolves to what it wrote to stdout.
 * @param signal ends the command when it aborts
 * @throws Error with the exit code and the last line of stderr, if it did not end with 0
 */
export async function runCommand(
  command: string,
  input: Uint8Array,
  signal: AbortSignal,
): Promise<Uint8Array> {
  signal.throwIfAborted();
  const child = spawn(command, { shell: true, detached: hasGroups, windowsHide: true });
  running.add(child);
  const output: Buffer[] = [];
  let bytes = 0;
  let errors = '';
  let force: NodeJS.Timeout | undefined;
  const stop = (): void => {
    end(child, 'SIGTERM');
    force = setTimeout(() => {
      end(child, 'SIGKILL');
      // What left the group may hold these open for ever.
      child.stdout.destroy();
      child.stderr.destroy();
    }, GRACE);
  };
  signal.addEventListener('abort', stop, { once: true });
  child.stdin.on('error', () => {
    // It does not read all of its input, as `true` and `head` do: its exit code says how it went.
  });
  child.stdin.end(input);
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-ERRORS_LIMIT);
  });
  child.stdout.on('data', (data: Buffer) => {
    bytes += data.byteLength;
    if (bytes <= REPLY_LIMIT) output.push(data);
    else end(child, 'SIGKILL');
  });
  try {
    const ending = await endOf(child);
    if (bytes > REPLY_LIMIT) throw new Error(`the command wrote more than ${REPLY_LIMIT} bytes`);
    if (ending !== undefined) throw new Error(withLastLine(`the command ${ending}`, errors));
    return Buffer.concat(output, bytes);
  } finally {
    running.delete(child);
    clearTimeout(force);
    signal.removeEventListener('abort', stop);
  }
}

/** How the command ended, in words; undefined if it ended well. Rejects if the shell did not start. */
function endOf(child: ChildProcessWithoutNullStreams): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (signal !== null) resolve(`was ended by ${signal}`);
      else resolve(code === 0 ? undefined : `ended with exit code ${code}`);
    });
  });
}

function withLastLine(sentence: string, errors: string): string {
  const last = errors
    .split('\n')
    .map((line) => line.trim())
    .findLast((line) => line !== '');
  return last === undefined ? sentence : `${sentence}: ${last}`;
}

function end(child: ChildProcessWithoutNullStreams, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    if (hasGroups) process.kill(-child.pid, signal);
    else child.kill(signal);
  } catch (error) {
    // ESRCH: all of the group have ended meanwhile, which is what was wanted.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
