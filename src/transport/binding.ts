/** How every shell binds: the driver calls back, the user awaits. */
import type { SocketName } from './transport.ts';

interface Binding<Port> {
  bind(
    port: Port,
    endpoint: string,
    done: (error: Error | undefined, endpoint: string) => void,
    name?: SocketName,
  ): void;
}

/**
 * Resolves to the real endpoint.
 * @throws BindError, ClosedError
 */
export function bindPort<Port>(
  driver: Binding<Port>,
  port: Port,
  endpoint: string,
  name?: SocketName,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | undefined, real: string): void =>
      error === undefined ? resolve(real) : reject(error);
    driver.bind(port, endpoint, done, name);
  });
}
