/** What can be the name of a service: on the wire it is one frame of UTF-8. */
import { InvalidArgumentError } from '../core/errors.ts';
import { encodeText } from '../core/frames.ts';
import { SERVICE_NAME_LIMIT } from './protocol.ts';

/** @throws InvalidArgumentError unless it is text of 1 to 255 bytes */
export function checkService(service: unknown): string {
  const isText = typeof service === 'string';
  const bytes = isText ? encodeText(service).byteLength : 0;
  if (isText && bytes > 0 && bytes <= SERVICE_NAME_LIMIT) return service;
  const found = isText ? `${bytes} bytes` : typeof service;
  const message = `a service name is text of 1 to ${SERVICE_NAME_LIMIT} bytes, not ${found}`;
  throw new InvalidArgumentError('ERR_INVALID_ARGUMENT', message);
}
