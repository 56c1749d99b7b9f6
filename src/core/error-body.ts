/**
 * Failures on a wire that has none: a body of exactly two frames, a fixed 16-byte marker and UTF-8
 * JSON `{ code, message }`. Our client turns it into the typed error; to a stock client it is an
 * ordinary body.
 */
import { REQUEST_ERROR_CODES, type Failure, type RequestErrorCode } from './errors.ts';
import { decodeStrictText, encodeText, equalBytes } from './frames.ts';
import type { Frames } from './machine.ts';

/** 16 bytes: NUL, which no text body begins with, the name, and the format's version. */
const MARKER = encodeText('\0UNSINKABLE-ERR1');

/** What of a message is sent: an error is not a way to ship megabytes. */
const MESSAGE_LIMIT = 4096;

const CODES: ReadonlySet<string> = new Set(REQUEST_ERROR_CODES);

export function encodeFailure(failure: Failure): Frames {
  const { code, message } = failure;
  return [MARKER, encodeText(JSON.stringify({ code, message: message.slice(0, MESSAGE_LIMIT) }))];
}

/**
 * The failure in a body, or undefined if it is an ordinary one. A code of a later version becomes
 * `ERR_HANDLER_FAILED` with the original code in the message.
 */
export function decodeFailure(body: Frames): Failure | undefined {
  const [marker, json] = body;
  if (body.length !== 2 || marker === undefined || json === undefined) return undefined;
  if (!equalBytes(marker, MARKER)) return undefined;
  const parsed = parse(json);
  const code = textField(parsed, 'code') ?? 'unknown';
  const message = textField(parsed, 'message') ?? 'the peer gave no reason';
  if (CODES.has(code)) return { code: code as RequestErrorCode, message };
  return { code: 'ERR_HANDLER_FAILED', message: `${code}: ${message}` };
}

function parse(json: Uint8Array): unknown {
  try {
    return JSON.parse(decodeStrictText(json) ?? 'null');
  } catch {
    return null; // marked as an error, but unreadable: the caller still learns that it failed
  }
}

function textField(value: unknown, name: string): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const field: unknown = (value as Record<string, unknown>)[name];
  return typeof field === 'string' ? field : undefined;
}
