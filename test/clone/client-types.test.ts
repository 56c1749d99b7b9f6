/** What the values of a client are for TypeScript: what its codec reads. The compiler does the checking. */
import { describe, expect, expectTypeOf, test } from 'vitest';
import {
  CloneClient,
  type CloneClientOptions,
  type CloneCodecName,
} from '../../src/clone/index.ts';
import { closing, failureOf } from './shells.ts';

interface Config {
  readonly rate: number;
}

describe('the codec decides', () => {
  test('without one, for bytes and for text', () => {
    const bytes = closing(new CloneClient());
    expectTypeOf(bytes).toEqualTypeOf<CloneClient>();
    expectTypeOf(bytes.get('/k')).toEqualTypeOf<Uint8Array | undefined>();
    expectTypeOf(closing(new CloneClient({}))).toEqualTypeOf<CloneClient>();
    expectTypeOf(closing(new CloneClient({ codec: undefined }))).toEqualTypeOf<CloneClient>();
    expectTypeOf(closing(new CloneClient({ codec: 'bytes' }))).toEqualTypeOf<CloneClient>();
    const text = closing(new CloneClient({ codec: 'text', subtree: '/a/' }));
    expectTypeOf(text).toEqualTypeOf<CloneClient<string>>();
    expectTypeOf(text.get('/k')).toEqualTypeOf<string | undefined>();
  });

  test('for what JSON and MessagePack hold, of which more may be known', () => {
    const json = closing(new CloneClient({ codec: 'json' }));
    expectTypeOf(json).toEqualTypeOf<CloneClient<unknown>>();
    const packed = closing(new CloneClient<Config>({ codec: 'msgpack' }));
    expectTypeOf(packed.get('/k')).toEqualTypeOf<Config | undefined>();
    const config: CloneClient<Config> = new CloneClient({ codec: 'json' });
    expectTypeOf(closing(config).get('/k')).toEqualTypeOf<Config | undefined>();
    const mode = closing(new CloneClient<'fast' | 'safe'>({ codec: 'text' }));
    expectTypeOf(mode.get('/k')).toEqualTypeOf<'fast' | 'safe' | undefined>();
  });

  test('when the program runs, if not before', () => {
    const named = 'text' as CloneCodecName;
    expectTypeOf(closing(new CloneClient({ codec: named }))).toEqualTypeOf<CloneClient<unknown>>();
    const options: CloneClientOptions = { codec: 'text' };
    expectTypeOf(closing(new CloneClient(options))).toEqualTypeOf<CloneClient<unknown>>();
  });

  test('and a type that it does not read is refused', async () => {
    // @ts-expect-error: without a codec values are bytes
    closing(new CloneClient<string>());
    // @ts-expect-error: text is no number
    closing(new CloneClient<number>({ codec: 'text' }));
    // @ts-expect-error: text is not what it promises
    const config: CloneClient<Config> = new CloneClient({ codec: 'text' });
    const text = closing(config);
    // @ts-expect-error: a number is no configuration either
    expect(await failureOf(text.set('/k', 1))).toMatchObject({ code: 'ERR_INVALID_BODY' });
  });
});

test('a client is an instance of what makes it', () => {
  const given: object = closing(new CloneClient({ codec: 'json' }));
  expect(given).toBeInstanceOf(CloneClient);
  if (given instanceof CloneClient) expectTypeOf(given).toEqualTypeOf<CloneClient<unknown>>();
  const text: CloneClient<string> | Map<string, string> = closing(
    new CloneClient({ codec: 'text' }),
  );
  if (text instanceof CloneClient) expectTypeOf(text.get('/k')).toEqualTypeOf<string | undefined>();
  expect(CloneClient.name).toBe('CloneClient');
});
