/** Metadata of a request: names and texts, on the wire one frame of JSON that brokers do not read. */
import { InvalidArgumentError } from '../../core/errors.ts';
import { decodeStrictText, encodeText } from '../../core/frames.ts';

/** A request's metadata, such as a trace context. `content-type` is the codec's. */
export type Headers = Readonly<Record<string, string>>;

/** The header that names the codec of the body. */
export const CONTENT_TYPE = 'content-type';

/** What headers may have on the wire, in bytes. */
export const HEADERS_LIMIT = 64 * 1024;

export const NO_HEADERS: Headers = Object.freeze({});

/**
 * The bytes of `headers`, or undefined if there are none.
 * @param contentType what the codec of the body says, if it says anything
 * @throws InvalidArgumentError `ERR_INVALID_OPTION` if they are too large
 */
export function encodeHeaders(
  headers: Headers | undefined,
  contentType: string | undefined,
): Uint8Array | undefined {
  if (headers === undefined && contentType === undefined) return undefined;
  const all = contentType === undefined ? headers : { ...headers, [CONTENT_TYPE]: contentType };
  const bytes = encodeText(JSON.stringify(all));
  if (bytes.byteLength <= HEADERS_LIMIT) return bytes;
  const message = `headers have at most ${HEADERS_LIMIT} bytes, not ${bytes.byteLength}`;
  throw new InvalidArgumentError('ERR_INVALID_OPTION', message);
}

/** The headers again; bytes that are none are none, and what is not text is left out. */
export function decodeHeaders(bytes: Uint8Array | undefined): Headers {
  if (bytes === undefined || bytes.byteLength > HEADERS_LIMIT) return NO_HEADERS;
  const parsed = parse(bytes);
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return NO_HEADERS;
  return Object.fromEntries(
    Object.entries(parsed).filter(([, value]) => typeof value === 'string'),
  );
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decodeStrictText(bytes) ?? 'null');
  } catch {
    return undefined; // not ours: the request is served all the same
  }
}
