/** How a command can fail: the one place that says which error ends with which exit code. */
import { CommanderError, type Command } from 'commander';
import { TitanicError, UnsinkableError, type ErrorCode } from '../core/errors.ts';
import { OutputClosed } from './output.ts';
import { interruptionBehind } from './signals.ts';
import { printable } from './text.ts';

/** What a script can tell apart. 128 and more: ended by that signal. */
const DONE = 0;
const FAILED = 1;
const USAGE = 2;
const TIMED_OUT = 3;
const REFUSED = 4;

/** The exit codes as words, for `--help`. */
export const exitCodeHelp = `
Exit codes: ${DONE} done, ${FAILED} failed, ${USAGE} wrong usage, ${TIMED_OUT} timed out, ${REFUSED} refused by the other side
(a broker, a queue, a worker, a server or a Titanic answered with an error), 130 interrupted by Ctrl-C.
Durations are milliseconds. Endpoints are zeromq's: tcp://HOST:PORT, ipc://PATH.`;

/**
 * One rule: time that ran out is `timed out` wherever the clock was, an error that a broker or a
 * worker answered with is `refused`, what went wrong on this side is `failed`.
 */
const EXIT_CODES: Readonly<Record<ErrorCode, number>> = {
  ERR_INVALID_ARGUMENT: USAGE,
  ERR_INVALID_BODY: USAGE,
  ERR_INVALID_ENDPOINT: USAGE,
  ERR_INVALID_OPTION: USAGE,
  ERR_UNKNOWN_OPTION: USAGE,
  ERR_ADDRESS_IN_USE: FAILED,
  ERR_BIND_FAILED: FAILED,
  ERR_CLOSED: FAILED,
  ERR_NOT_CONNECTED: FAILED,
  ERR_NOT_READY: TIMED_OUT,
  ERR_TOO_MANY_SOCKETS: FAILED,
  ERR_ATTEMPTS_EXHAUSTED: REFUSED,
  ERR_BROKER_CLOSING: REFUSED,
  ERR_CANCELLED: FAILED,
  ERR_HANDLER_FAILED: REFUSED,
  ERR_NOT_ACTIVE: REFUSED,
  ERR_NOT_SUPPORTED: REFUSED,
  ERR_NO_SERVICE: REFUSED,
  ERR_QUEUE_FULL: REFUSED,
  ERR_REPLY_TOO_LARGE: FAILED,
  ERR_REQUEST_EXPIRED: TIMED_OUT,
  ERR_REQUEST_TIMEOUT: TIMED_OUT,
  ERR_SERVER_CLOSING: REFUSED,
  ERR_ID_IN_USE: REFUSED,
  ERR_STORAGE_CORRUPT: FAILED,
  ERR_STORAGE_FAILED: REFUSED,
  ERR_STORAGE_FULL: REFUSED,
  ERR_STORAGE_IN_USE: FAILED,
  ERR_STORAGE_UNAVAILABLE: FAILED,
  ERR_STORAGE_VERSION: FAILED,
  ERR_STREAM_OVERFLOW: FAILED,
  ERR_UNKNOWN_REQUEST: REFUSED,
  ERR_WORKER_LOST: REFUSED,
  ERR_CONFLICT: REFUSED,
  ERR_EMPTY_VALUE: USAGE,
  ERR_INVALID_KEY: USAGE,
  ERR_STATE_FULL: REFUSED,
  ERR_VALUE_TOO_LARGE: REFUSED,
  ERR_WRITE_TIMEOUT: TIMED_OUT,
};

/** A failure that only the command line knows, such as a file it cannot read. Exit code 1. */
export class CommandFailure extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A reply that is not there yet. Exit code 3. */
export class StillPending extends CommandFailure {}

/** The command line is wrong in a way that commander does not see. Exit code 2. */
export class UsageError extends Error {}

/** What the user is told, in one line, and the exit code. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly exitCode: number;
}

/** @param program for the name of the command that was mistyped */
export function describeFailure(error: unknown, program: Command): Failure {
  if (error instanceof OutputClosed) return { code: 'EPIPE', message: '', exitCode: DONE };
  const interrupted = interruptionBehind(error);
  if (interrupted !== undefined) {
    const { message, exitCode } = interrupted;
    return { code: 'ERR_CANCELLED', message, exitCode };
  }
  if (error instanceof CommanderError && error.exitCode === 0) {
    return { code: error.code, message: '', exitCode: DONE };
  }
  if (error instanceof CommanderError || error instanceof UsageError) {
    return { code: 'ERR_USAGE', message: usageMessage(error, program), exitCode: USAGE };
  }
  const message = printable(error instanceof Error ? error.message : String(error));
  // Whatever it says, the other side has said it.
  if (error instanceof TitanicError) return { code: error.code, message, exitCode: REFUSED };
  if (error instanceof UnsinkableError) {
    return { code: error.code, message, exitCode: EXIT_CODES[error.code] };
  }
  if (error instanceof CommandFailure) {
    const exitCode = error instanceof StillPending ? TIMED_OUT : FAILED;
    return { code: error.code, message, exitCode };
  }
  return { code: 'ERR_UNEXPECTED', message: `${message}; --verbose shows where`, exitCode: FAILED };
}

function usageMessage(error: Error, program: Command): string {
  const { command, name } = commandIn(program);
  const help = `see '${name} --help'`;
  if (error instanceof CommanderError && error.code === 'commander.help') {
    const names = command.commands.map((each) => each.name()).join(', ');
    return `a command is missing, one of ${names}; ${help}`;
  }
  const message = error.message
    .replace(/^error: /, '')
    .replace(/\.$/, '')
    .replaceAll('\n', ' ');
  return `${printable(message)}; ${help}`;
}

/** The innermost command that was named, and all of its name. */
function commandIn(
  outer: Command,
  names = '',
): { readonly command: Command; readonly name: string } {
  const name = `${names}${outer.name()}`;
  const [operand] = outer.args;
  const inner = outer.commands.find((each) => each.name() === operand);
  return inner === undefined ? { command: outer, name } : commandIn(inner, `${name} `);
}
