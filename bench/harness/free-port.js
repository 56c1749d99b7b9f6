// Endpoints for processes that are to come back to the same place.
import { createServer } from 'node:net';

/** Below the ports that the system gives to whoever connects: nobody takes it while its process is away. */
const FROM = 10_000;
const COUNT = 20_000;

/** An endpoint on the loopback interface that nobody has. */
export async function freeEndpoint() {
  for (;;) {
    const port = FROM + Math.floor(Math.random() * COUNT);
    const server = createServer();
    const isFree = await new Promise((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return `tcp://127.0.0.1:${port}`;
  }
}
