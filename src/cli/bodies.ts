/** Bodies on the command line: from operands and files into a request, from a reply to stdout. */
import { readFile } from 'node:fs/promises';
import { addAbortSignal } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { Option, type Command } from 'commander';
import type { Frames } from '../core/machine.ts';
import { CommandFailure, UsageError } from './failure.ts';
import { writeOutput } from './output.ts';

/** What `--file` calls stdin. */
const STDIN = '-';
const NEWLINE = 0x0a;

export interface BodyFlags {
  readonly file?: readonly string[];
  readonly raw?: boolean;
}

/** How a body goes in, for `--help`. */
export const inputHelp = `Each BODY becomes a frame of UTF-8 text, each --file a frame of its bytes, the files last; without any,
the body is one empty frame. A BODY that begins with a dash goes after '--'.`;

/** How one comes out. */
export const outputHelp = `Each frame of the reply is printed as it is, and ended with a newline unless it ends with one; --raw
adds nothing.`;

/** Both. */
export const bodyHelp = `${inputHelp}
${outputHelp}`;

/** Adds `[body...]`, `--file` and `--raw`. */
export function addBody(command: Command): Command {
  return addBodyInput(command).option('--raw', 'print the bytes of the reply and nothing else');
}

/** Adds `[body...]` and `--file`. */
export function addBodyInput(command: Command): Command {
  return command
    .argument('[body...]', 'the frames of the request')
    .addOption(
      new Option('--file <path>', "a frame from a file, '-' is stdin; may be repeated").argParser(
        (path: string, previous: readonly string[] | undefined) => [...(previous ?? []), path],
      ),
    );
}

/**
 * What can be seen to be wrong before anything is read.
 * @throws UsageError
 */
export function checkBody({ file = [] }: BodyFlags): void {
  if (file.filter((path) => path === STDIN).length > 1) {
    throw new UsageError("stdin can be read once: give one '--file -'");
  }
}

/**
 * The frames of the request.
 * @param reading is told each path before it is read
 * @throws CommandFailure if a file cannot be read; the reason of `signal` if that aborts
 */
export async function readBody(
  texts: readonly string[],
  { file = [] }: BodyFlags,
  signal: AbortSignal,
  reading: (path: string) => void,
): Promise<(string | Uint8Array)[]> {
  const body: (string | Uint8Array)[] = [...texts];
  for (const path of file) {
    reading(path);
    body.push(await readBytes(path, signal));
  }
  return body;
}

async function readBytes(path: string, signal: AbortSignal): Promise<Uint8Array> {
  try {
    if (path !== STDIN) return await readFile(path, { signal });
    return await buffer(addAbortSignal(signal, process.stdin));
  } catch (error) {
    signal.throwIfAborted();
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandFailure('ERR_FILE_UNREADABLE', `cannot read '${path}': ${reason}`, {
      cause: error,
    });
  }
}

/** Prints the frames of a reply. */
export async function writeBody(frames: Frames, { raw = false }: BodyFlags): Promise<void> {
  for (const frame of frames) {
    await writeOutput(frame);
    if (!raw && frame.at(-1) !== NEWLINE) await writeOutput('\n');
  }
}
