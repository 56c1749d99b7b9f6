/** The Clone client as TypeScript sees it: `codec` says what its values are. It is the same class. */
import type { Environment } from '../../transport/environment.ts';
import { CloneClient as AnyClient } from './client.ts';
import type { CloneClientShellOptions } from './shell-options.ts';

/**
 * Makes clients, whose values are what `codec` reads. A narrower type may be named, such as
 * `new CloneClient<Config>({ codec: 'json' })`: that values are so is a promise, and not checked.
 */
export interface CloneClientConstructor {
  /**
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming the option that is unknown or out of range
   */
  new <Value extends Uint8Array = Uint8Array>(
    options?: CloneClientShellOptions & { readonly codec?: 'bytes' | undefined },
    environment?: Environment,
  ): CloneClient<Value>;
  new <Value extends string = string>(
    options: CloneClientShellOptions & { readonly codec: 'text' },
    environment?: Environment,
  ): CloneClient<Value>;
  new <Value = unknown>(
    options: CloneClientShellOptions & { readonly codec: 'json' | 'msgpack' },
    environment?: Environment,
  ): CloneClient<Value>;
  /** With a codec that only the running program knows. */
  new (options?: CloneClientShellOptions, environment?: Environment): CloneClient<unknown>;
  readonly prototype: CloneClient<unknown>;
}

/** A client whose values are of this type. */
export type CloneClient<Value = Uint8Array> = AnyClient<Value>;

/**
 * A replica of the map of a Clone server, or of a part of it: read like a `Map`, written by promises.
 *
 * ```js
 * const config = new CloneClient({ subtree: '/config/', codec: 'json' });
 * config.connect('tcp://127.0.0.1:5556');
 * await config.synchronised();
 * await config.set('/config/db/host', 'db.example');
 * config.get('/config/db/host');
 * for await (const { key, value } of config.watch('/config/db/')) console.log(key, value);
 * ```
 *
 * What it shows is at each instant a map that the server had, and never one before that which it showed. It
 * changes between two turns of the event loop only. While no server is there it stays as it was. What came in
 * the same message as an event may be there already when that is heard: `at` says where the map is.
 */
export const CloneClient: CloneClientConstructor = AnyClient;
