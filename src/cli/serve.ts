/** The life of every long-running command: it starts, says so on stdout, and drains when asked to. */
import type { Logger } from '../core/logger.ts';
import { writeOutput } from './output.ts';
import type { Stop } from './signals.ts';

export interface Service {
  /** What it is, for the ready line. */
  readonly role: string;
  readonly logger: Logger;
  /** Resolves to the endpoints once it serves. */
  start(): Promise<readonly string[]>;
  /** Drains and frees everything. */
  close(): Promise<void>;
}

/** Prints `ready ROLE ENDPOINT…` when the service serves; returns when it was stopped and has drained. */
export async function serve(service: Service, stop: Stop): Promise<void> {
  const { role, logger } = service;
  try {
    const endpoints = await Promise.race([service.start(), stop.requested.then(() => undefined)]);
    if (endpoints !== undefined) await writeOutput(`ready ${role} ${endpoints.join(' ')}\n`);
    const { signalName } = await stop.requested;
    logger.info({ signal: signalName }, 'draining');
  } finally {
    await service.close();
  }
}
