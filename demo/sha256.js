// @ts-check
/** The hash that workers and the main process compute, each for itself. */
import { webcrypto } from 'node:crypto';

/**
 * Hashes off the event loop, so that heartbeats go on beside a large file.
 * @param {Uint8Array} bytes
 * @returns {Promise<Uint8Array>} 32 bytes
 */
export async function sha256(bytes) {
  return new Uint8Array(await webcrypto.subtle.digest('SHA-256', bytes));
}
