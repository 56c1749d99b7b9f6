/** The life of every long-running command: it starts, says so on stdout, and drains when asked to. */
import type { Logger } from '../core/logger.ts';
import { createLogger } from './log.ts';
import type { ServingFlags } from './options.ts';
import { writeOutput } from './output.ts';
import { listenForStop } from './signals.ts';

export interface Service {
  /** Resolves to the endpoints once it serves. */
  start(): Promise<readonly string[]>;
  /** Drains and frees everything. */
  close(): Promise<void>;
}

/**
 * Prints `ready ROLE ENDPOINT…` when the service serves; returns when it was stopped and has drained.
 * @param open throws what is wrong with the options
 */
export async function serve(
  role: string,
  flags: ServingFlags,
  open: (logger: Logger) => Service,
): Promise<void> {
  const stop = listenForStop();
  const logger = createLogger(flags.log, flags.verbose ?? false);
  const service = open(logger);
  try {
    const endpoints = await Promise.race([service.start(), stop.requested.then(() => undefined)]);
    if (endpoints !== undefined) await writeOutput(`ready ${role} ${endpoints.join(' ')}\n`);
    const { signalName } = await stop.requested;
    logger.info({ signal: signalName }, 'draining');
  } finally {
    await service.close();
  }
}
