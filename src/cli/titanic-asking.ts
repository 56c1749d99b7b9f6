/** What the commands share that ask a Titanic: `submit`, `fetch`, `forget`, and the operator's. */
import type { Command } from 'commander';
import { titanicClientRules } from '../titanic/options.ts';
import { TitanicClient } from '../titanic/titanic-client.ts';
import { createLogger } from './log.ts';
import { atLeastOne, endpoints, numeric, type CommonFlags } from './options.ts';
import { listenForStop } from './signals.ts';

export interface TitanicFlags extends CommonFlags {
  readonly connect?: readonly string[];
  readonly timeout: number;
}

/** Adds `--connect` and `--timeout`. */
export function addTitanicAsking(command: Command): Command {
  const timeout = 'for an answer of the Titanic, with all tries, or Infinity';
  return command
    .addOption(endpoints('--connect <endpoint>', 'the broker, or others to use when it fails'))
    .addOption(numeric('--timeout <ms>', timeout, titanicClientRules.timeout));
}

/** Connects a client, lets `ask` use it, and closes it. `signal` aborts at Ctrl-C. */
export async function askTitanic(
  flags: TitanicFlags,
  ask: (client: TitanicClient, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { timeout, verbose } = flags;
  const connect = atLeastOne('connect', flags.connect);
  const { signal } = listenForStop();
  const logger = verbose ? createLogger('human', true) : undefined;
  const client = new TitanicClient({ timeout, logger });
  try {
    client.connect(connect);
    logger?.debug({ connect }, 'asking');
    await ask(client, signal);
  } finally {
    await client.close();
  }
}
