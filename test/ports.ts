/** Ports for those who have to name one: for a server that is to come back there, or that takes three. */
import { createServer } from 'node:net';

/** Below those that the system gives to whoever connects, and beside those that the Python server takes. */
const FIRST_PORT = 10_000;
const PORTS = 9000;

/** The first of three that nobody has, and that stay free while a server is away. */
export async function threePorts(): Promise<number> {
  for (;;) {
    const first = FIRST_PORT + 3 * Math.floor((Math.random() * PORTS) / 3);
    const isFree = await Promise.all([first, first + 1, first + 2].map(isPortFree));
    if (isFree.every(Boolean)) return first;
  }
}

async function isPortFree(port: number): Promise<boolean> {
  const server = createServer();
  const isFree = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
  });
  if (isFree) await new Promise((resolve) => server.close(resolve));
  return isFree;
}
