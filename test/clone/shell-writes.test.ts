/** Writes as promises, over real sockets: done once, in order, or an error that says what to do. */
import { describe, expect, test } from 'vitest';
import {
  CloneClient,
  CloneError,
  ClosedError,
  NotReadyError,
  RequestError,
} from '../../src/clone/index.ts';
import {
  closing,
  connect,
  failureOf,
  follow,
  makeServer,
  ownEndpoint,
  startServer,
  until,
} from './shells.ts';

const NOBODY = 'tcp://127.0.0.1:9';

describe('a write', () => {
  test('is shown by the time it is done, in the order of the calls', async () => {
    const { endpoint } = await startServer();
    const client = await follow(endpoint);
    const writes = Array.from({ length: 200 }, (_, index) => client.set('/k', `${index}`));
    const revisions = (await Promise.all(writes)).map(({ revision }) => revision);
    expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
    expect(new Set(revisions).size).toBe(200);
    expect(client.get('/k')).toBe('199');
    expect(client.revision('/k')).toBe(revisions.at(-1));
  });

  test('may be made before there is a server', async () => {
    const endpoint = ownEndpoint();
    const client = connect<string>(endpoint, { codec: 'text' });
    const write = client.set('/k', 'early');
    await until(() => expect(client.status().pending).toBe(1));
    await makeServer().bind(endpoint);
    expect(await write).toMatchObject({ replicated: false });
    expect(client.get('/k')).toBe('early');
  });

  test('of what is absent, or of nothing, is done', async () => {
    const { endpoint } = await startServer();
    const client = await follow(endpoint);
    const { revision } = await client.set('/k', 'v');
    expect(await client.delete('/none')).toEqual({ revision, replicated: false });
    expect(await client.clear('/none/')).toMatchObject({ replicated: false });
    await client.delete('/k');
    expect(client.size).toBe(0);
  });

  test('outside of what is followed is done too', async () => {
    const { endpoint } = await startServer();
    const client = await follow(endpoint, { subtree: '/mine/' });
    const all = await follow(endpoint);
    await client.set('/other', 'x');
    await until(() => expect(all.get('/other')).toBe('x'));
    expect(client.size).toBe(0);
    await client.clear('');
    await until(() => expect(all.size).toBe(0));
  });

  test('with ifMatch is done if nobody else was faster', async () => {
    const { endpoint } = await startServer();
    const client = await follow(endpoint);
    const { revision } = await client.set('/k', '1', { ifMatch: 0 });
    const conflict = await failureOf(client.set('/k', 'x', { ifMatch: 0 }));
    expect(conflict).toMatchObject({
      code: 'ERR_CONFLICT',
      key: '/k',
      revision,
      retriable: false,
      maybeDone: false,
      message: `'/k' has changed: the key has revision ${revision}`,
    });
    expect(await failureOf(client.delete('/k', { ifMatch: revision + 1 }))).toMatchObject({
      code: 'ERR_CONFLICT',
    });
    await client.set('/k', '2', { ifMatch: revision });
    await client.delete('/k', { ifMatch: client.revision('/k') });
    expect(await failureOf(client.set('/k', '3', { ifMatch: revision }))).toMatchObject({
      revision: 0,
      message: "'/k' has changed: there is no such key",
    });
  });

  test('that finds the server full is refused, and may be tried again', async () => {
    const { endpoint } = await startServer({ keyLimit: 2 });
    const client = await follow(endpoint);
    await client.set('/a', '1');
    await client.set('/b', '1');
    const error = await failureOf(client.set('/c', '1'));
    expect(error).toMatchObject({ code: 'ERR_STATE_FULL', retriable: true });
    await client.delete('/a');
    await client.set('/c', '1');
  });

  test('beyond what may wait is refused at once', async () => {
    const client = connect<string>(NOBODY, { codec: 'text', queueLimit: 1, drainTimeout: 0 });
    const waiting = failureOf(client.set('/a', '1'));
    const error = await failureOf(client.set('/b', '2'));
    expect(error).toMatchObject({ code: 'ERR_QUEUE_FULL', key: '/b', maybeDone: false });
    await client.close();
    expect(await waiting).toMatchObject({ code: 'ERR_CLOSED', maybeDone: false });
  });

  test('that nobody takes ends in time, and says that it was not sent', async () => {
    const client = connect<string>(NOBODY, { codec: 'text' });
    const error = await failureOf(client.set('/k', 'v', { timeout: 50 }));
    expect(error).toMatchObject({ code: 'ERR_WRITE_TIMEOUT', retriable: true, maybeDone: false });
    expect((error as Error).message).toContain('within 50 ms: it was not sent');
  });

  test('is given up when its signal aborts', async () => {
    const client = connect<string>(NOBODY, { codec: 'text' });
    const reason = new Error('enough');
    const given = { signal: AbortSignal.abort(reason) };
    const early = await failureOf(client.set('/k', 'v', given));
    const controller = new AbortController();
    const late = failureOf(client.set('/k', 'v', { signal: controller.signal }));
    controller.abort(reason);
    for (const error of [early, await late]) {
      expect(error).toMatchObject({ code: 'ERR_CANCELLED', name: 'AbortError', cause: reason });
      expect(error).not.toBeInstanceOf(RequestError);
    }
    expect(client.status().pending).toBe(0);
  });

  test('before connect or after close is refused', async () => {
    const { endpoint } = await startServer();
    const client = closing(await follow(endpoint));
    await client.close();
    for (const call of [
      () => client.set('/k', 'v'),
      () => client.clear(''),
      () => client.update('/k', () => 'v'),
      () => client.watch(),
      () => client.synchronised(),
      () => client.connect(endpoint),
    ]) {
      expect(await failureOf(call)).toBeInstanceOf(ClosedError);
    }
    const lost = closing(new CloneClient({ codec: 'text' }));
    expect(await failureOf(lost.set('/k', 'v'))).toMatchObject({ code: 'ERR_NOT_CONNECTED' });
    expect(await failureOf(lost.synchronised())).toMatchObject({
      code: 'ERR_NOT_READY',
      message: 'not connected: call connect(endpoint) before synchronised()',
    });
  });
});

describe('a time to live', () => {
  test('ends with a delete by the server, for everybody', async () => {
    const { endpoint } = await startServer();
    const [writer, other] = [await follow(endpoint), await follow(endpoint)];
    const begun = performance.now();
    await writer.set('/k', 'short', { ttl: 150.5 });
    await writer.set('/stays', 'long');
    await until(() => expect(other.has('/k')).toBe(true));
    await until(() => expect(other.has('/k')).toBe(false));
    expect(performance.now() - begun).toBeGreaterThanOrEqual(149);
    await until(() => expect(writer.has('/k')).toBe(false));
    expect(other.has('/stays')).toBe(true);
  });

  test('is over with the next set', async () => {
    const { endpoint } = await startServer();
    const client = await follow(endpoint);
    await client.set('/k', 'short', { ttl: 60 });
    await client.set('/k', 'long');
    // Its time ends after that which the first one had.
    await client.set('/later', 'short', { ttl: 60 });
    await until(() => expect(client.has('/later')).toBe(false));
    expect(client.get('/k')).toBe('long');
  });
});

describe('update', () => {
  test('sets, and deletes with undefined', async () => {
    const { endpoint } = await startServer();
    const client = await follow(endpoint);
    await client.update('/k', (former) => `${former ?? 'new'}!`);
    await client.update('/k', (former) => Promise.resolve(`${former ?? 'new'}!`));
    expect(client.get('/k')).toBe('new!!');
    await client.update('/k', () => undefined);
    await client.update('/none', () => undefined);
    expect(client.size).toBe(0);
  });

  test('loses nothing, however many do it at once', async () => {
    const { endpoint } = await startServer();
    const clients = [await follow(endpoint), await follow(endpoint), await follow(endpoint)];
    await Promise.all(
      clients.map(async (client) => {
        for (let times = 0; times < 20; times++) {
          await client.update('/count', (former) => `${Number(former ?? 0) + 1}`);
        }
      }),
    );
    const late = await follow(endpoint);
    expect(late.get('/count')).toBe('60');
  });

  test('fails as its function does, in time, or with its signal', async () => {
    const { endpoint } = await startServer();
    const client = await follow(endpoint);
    const mistake = new Error('mistake');
    const failing = client.update('/k', () => {
      throw mistake;
    });
    expect(await failureOf(failing)).toBe(mistake);
    const rival = await follow(endpoint);
    const outpaced = client.update(
      '/k',
      async () => {
        await rival.set('/k', `${performance.now()}`);
        return 'never';
      },
      { timeout: 200 },
    );
    expect(await failureOf(outpaced)).toMatchObject({ code: 'ERR_WRITE_TIMEOUT' });
    const controller = new AbortController();
    const cancelled = client.update(
      '/k',
      async () => {
        await rival.set('/k', `${performance.now()}`);
        controller.abort();
        return 'never';
      },
      { signal: controller.signal },
    );
    expect(await failureOf(cancelled)).toMatchObject({ code: 'ERR_CANCELLED' });
    const alone = connect<string>(NOBODY, { codec: 'text' });
    const unknown = await failureOf(alone.update('/k', () => 'x', { timeout: 30 }));
    expect(unknown).toBeInstanceOf(NotReadyError);
  });

  test('is refused at once, as such, where servers cannot compare', async () => {
    const stock = connect<string>('tcp://127.0.0.1:9', { codec: 'text', protocol: 'chp' });
    const error = await failureOf(stock.update('/k', () => 'never'));
    expect(error).toBeInstanceOf(CloneError);
    const message = "'/k' was not written: stock servers know no update, use set";
    expect(error).toMatchObject({ code: 'ERR_NOT_SUPPORTED', key: '/k', message });
  });
});

describe('synchronised', () => {
  test('says what is missing, in time', async () => {
    const client = connect(NOBODY);
    const error = await failureOf(client.synchronised({ timeout: 40 }));
    expect(error).toBeInstanceOf(NotReadyError);
    expect((error as Error).message).toBe(
      `no Clone server answers at ${NOBODY} within 40 ms: is one bound there, and does it speak Clone?`,
    );
    const waiting = failureOf(client.synchronised());
    const cancelled = failureOf(client.synchronised({ signal: AbortSignal.timeout(10) }));
    expect(await cancelled).toMatchObject({ code: 'ERR_CANCELLED', name: 'AbortError' });
    await client.close();
    expect(await waiting).toBeInstanceOf(ClosedError);
  });
});
