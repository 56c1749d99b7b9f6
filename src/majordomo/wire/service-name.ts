/** What can be a name, of a service or of an idempotent request: on the wire it is a piece of UTF-8. */
import { InvalidArgumentError } from '../../core/errors.ts';
import { decodeStrictText, encodeText } from '../../core/frames.ts';
import { SERVICE_NAME_LIMIT } from './protocol.ts';

/** Services found right, so that one that is asked often is looked at once. */
const known = new Set<string>();
const KNOWN_LIMIT = 1000;

/** @throws InvalidArgumentError unless it is well-formed text of 1 to 255 bytes */
export function checkService(service: unknown): string {
  if (typeof service === 'string' && known.has(service)) return service;
  const fault = faultOf(service);
  if (fault !== undefined || typeof service !== 'string') {
    const message = `a service name is text of 1 to ${SERVICE_NAME_LIMIT} bytes, not ${fault}`;
    throw new InvalidArgumentError('ERR_INVALID_ARGUMENT', message);
  }
  if (known.size === KNOWN_LIMIT) known.clear();
  known.add(service);
  return service;
}

/** True for well-formed text of 1 to 255 bytes. */
export function isName(value: unknown): boolean {
  return faultOf(value) === undefined;
}

function faultOf(name: unknown): string | undefined {
  if (typeof name !== 'string') return typeof name;
  const bytes = encodeText(name);
  if (bytes.byteLength === 0 || bytes.byteLength > SERVICE_NAME_LIMIT) {
    return `${bytes.byteLength} bytes`;
  }
  // Half a surrogate pair would come back as another name.
  return decodeStrictText(bytes) === name ? undefined : 'text with half a surrogate pair';
}
