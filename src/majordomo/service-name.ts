/** What can be the name of a service: on the wire it is one frame of UTF-8. */
import { InvalidArgumentError } from '../core/errors.ts';
import { decodeStrictText, encodeText } from '../core/frames.ts';
import { SERVICE_NAME_LIMIT } from './protocol.ts';

/** @throws InvalidArgumentError unless it is well-formed text of 1 to 255 bytes */
export function checkService(service: unknown): string {
  if (typeof service !== 'string') throw refusal(typeof service);
  const bytes = encodeText(service);
  if (bytes.byteLength === 0 || bytes.byteLength > SERVICE_NAME_LIMIT) {
    throw refusal(`${bytes.byteLength} bytes`);
  }
  // Half a surrogate pair would come back as another name.
  if (decodeStrictText(bytes) !== service) throw refusal('text with half a surrogate pair');
  return service;
}

function refusal(found: string): InvalidArgumentError {
  const message = `a service name is text of 1 to ${SERVICE_NAME_LIMIT} bytes, not ${found}`;
  return new InvalidArgumentError('ERR_INVALID_ARGUMENT', message);
}
