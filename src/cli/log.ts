/** A small logger of pino's shape, on stderr: a line for people, or one JSON object a line. */
import type { Logger } from '../core/logger.ts';
import { writeError } from './output.ts';
import { printable, printableAddress, printableBytes } from './text.ts';

/** What `--log` accepts. */
export const LOG_STYLES = ['human', 'json', 'none'] as const;
export type LogStyle = (typeof LOG_STYLES)[number];

type Level = keyof Logger;

/** Fields that hold a routing id. */
const ADDRESSES: ReadonlySet<string> = new Set(['client', 'from', 'worker']);

/**
 * A logger that shows `info` and above, with `verbose` also `debug`. JSON lines have pino's keys
 * `level` (as a word), `time` (milliseconds since 1970) and `msg`, then the fields.
 */
export function createLogger(style: LogStyle, verbose: boolean): Logger {
  const write = (level: Level, fields: object, message: string): void => {
    if (style === 'none' || (level === 'debug' && !verbose)) return;
    const shown = readableFields(fields);
    writeError(
      `${style === 'json' ? json(level, shown, message) : human(level, shown, message)}\n`,
    );
  };
  return {
    debug: (fields, message) => write('debug', fields, message),
    info: (fields, message) => write('info', fields, message),
    warn: (fields, message) => write('warn', fields, message),
    error: (fields, message) => write('error', fields, message),
  };
}

function json(level: Level, fields: Record<string, unknown>, message: string): string {
  return JSON.stringify({ level, time: Date.now(), msg: message, ...fields });
}

function human(level: Level, fields: Record<string, unknown>, message: string): string {
  const words = Object.entries(fields).map(([name, value]) => `${name}=${humanValue(value)}`);
  const time = new Date().toISOString();
  return [time, level.toUpperCase().padEnd(5), printable(message), ...words].join(' ');
}

function humanValue(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
  const shown = printable(text);
  return shown === '' || (typeof value === 'string' && /[\s"=]/.test(shown)) ? `"${shown}"` : shown;
}

function readableFields(fields: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, readable(name, value)]),
  );
}

function readable(name: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return printableBytes(value);
  if (value instanceof Error) return value.message;
  if (Array.isArray(value)) return value.map((element) => readable(name, element));
  return typeof value === 'string' && ADDRESSES.has(name) ? printableAddress(value) : value;
}
