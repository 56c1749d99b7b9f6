/** The life of every command that asks: it connects, reads the body, asks once, and prints the reply. */
import type { Command } from 'commander';
import type { Rule } from '../core/options.ts';
import type { Frames } from '../core/machine.ts';
import type { Logger } from '../core/logger.ts';
import { addBody, checkBody, readBody, writeBody, type BodyFlags } from './bodies.ts';
import { createLogger } from './log.ts';
import { atLeastOne, endpoints, numeric, type CommonFlags } from './options.ts';
import { listenForStop } from './signals.ts';

export interface AskFlags extends CommonFlags, BodyFlags {
  readonly connect?: readonly string[];
  readonly retries: number;
  readonly timeout: number;
}

/** What every request may say for itself. */
export interface Terms {
  readonly timeout: number;
  readonly retries: number;
  readonly signal: AbortSignal;
}

export interface AskingClient {
  connect(endpoints: readonly string[]): unknown;
  close(): Promise<void>;
}

export interface Question<Client extends AskingClient> {
  /** @param logger undefined without `--verbose` */
  open(logger: Logger | undefined): Client;
  /** Asks, and hands over what is to be printed, once or part by part. */
  ask(
    client: Client,
    body: readonly (string | Uint8Array)[],
    terms: Terms,
    print: (frames: Frames) => Promise<void>,
  ): Promise<void>;
}

/** Adds what all of these commands have: `--connect`, the body, `--timeout` and `--retries`. */
export function addAsking(
  command: Command,
  whom: string,
  rules: { readonly timeout: Rule<number>; readonly retries: Rule<number> },
): Command {
  const timeout = 'for the whole request with its retries, or Infinity';
  return addBody(command.addOption(endpoints('--connect <endpoint>', whom)))
    .addOption(numeric('--timeout <ms>', timeout, rules.timeout))
    .addOption(numeric('--retries <count>', 'how often to try again', rules.retries));
}

/** @param texts the operands that are frames of the body */
export async function askOnce<Client extends AskingClient>(
  texts: readonly string[],
  flags: AskFlags,
  question: Question<Client>,
): Promise<void> {
  const { timeout, retries, verbose } = flags;
  const connect = atLeastOne('connect', flags.connect);
  checkBody(flags);
  const { signal } = listenForStop();
  const logger = verbose ? createLogger('human', true) : undefined;
  const client = question.open(logger);
  try {
    // Before the files are read, so that a wrong endpoint does not cost a pipe's worth of input.
    client.connect(connect);
    const body = await readBody(texts, flags, signal, (path) => logger?.debug({ path }, 'reading'));
    const terms = { timeout, retries, signal };
    await question.ask(client, body, terms, (frames) => writeBody(frames, flags));
  } finally {
    await client.close();
  }
}
