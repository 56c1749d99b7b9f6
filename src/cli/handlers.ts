/** Handlers on the command line: an echo, or a shell command. */
import { Option, type Command } from 'commander';
import type { Logger } from '../core/logger.ts';
import type { Payload } from '../core/payload.ts';
import { endCommands, runCommand } from './exec.ts';
import { UsageError } from './failure.ts';

export interface HandlerFlags {
  readonly echo?: boolean;
  readonly exec?: string;
}

/** What a handler is given by every pattern. */
interface Handled extends Payload {
  readonly signal: AbortSignal;
}

export type CommandHandler = (request: Handled) => readonly Uint8Array[] | Promise<Uint8Array>;

/** What `--exec` does, for `--help`; who kills it when, the command's own help goes on to say. */
export const execHelp = `With --exec, each request runs COMMAND in the shell: the body (frames joined) is its stdin, its stdout
is the reply, of one frame. If it fails, the client gets an error with the exit code and the last line
of stderr.`;

/** Adds `--echo` and `--exec`. */
export function addHandler(command: Command): Command {
  return command
    .addOption(new Option('--echo', 'reply with the body of the request'))
    .addOption(new Option('--exec <command>', 'reply with what a shell command makes of it'));
}

/**
 * The handler that was asked for.
 * @throws UsageError unless it is exactly one
 */
export function handlerFor({ echo = false, exec }: HandlerFlags, logger: Logger): CommandHandler {
  if (echo === (exec !== undefined)) throw new UsageError('give either --echo or --exec COMMAND');
  if (exec === undefined) return (request) => request.body;
  if (exec.trim() === '') throw new UsageError('--exec needs a command');
  // However the process ends, no command outlives it.
  process.once('exit', endCommands);
  return async (request) => {
    try {
      return await runCommand(exec, request.bytes(), request.signal);
    } catch (error) {
      logger.warn({ error }, 'commandFailed');
      throw error;
    }
  };
}
