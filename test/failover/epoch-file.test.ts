/** The file of epochs: what was written is read again, and what cannot be believed is refused. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StorageError } from '../../src/core/errors.ts';
import {
  defaultEpochFile,
  epochFile,
  openStore,
  RecordWriter,
} from '../../src/failover/epoch-file.ts';
import type { EpochStore } from '../../src/failover/options.ts';
import { signal } from '../../src/transport/closing.ts';
import { freshFolder, removeFolder } from '../transport/processes.ts';

let folder = '';
let path = '';
const stores: EpochStore[] = [];
const children: ChildProcess[] = [];

beforeEach(() => {
  folder = freshFolder();
  path = join(folder, 'pair-primary.epochs');
});

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  for (const child of children.splice(0)) child.kill('SIGKILL');
  removeFolder(folder);
});

function open(at = path): EpochStore {
  const store = epochFile(at);
  stores.push(store);
  return store;
}

/** Writes `record` as an earlier process. */
async function written(record: unknown): Promise<string> {
  const store = epochFile(path);
  await store.read();
  await store.write(record);
  await store.close();
  return readFileSync(path, 'utf8');
}

/** What a process with such a store does to say so. */
const HOLDER = `require('node:net').createServer(() => {}).listen(process.argv[1], () => console.log('held'));`;

/** Reads it as another process would that ends at once. */
async function readOnce(): Promise<unknown> {
  const store = epochFile(path);
  try {
    return await store.read();
  } finally {
    await store.close();
  }
}

/** A store that ends a write when it is told to. */
function slowStore(): { store: EpochStore; written: unknown[]; release: () => void } {
  const seen: unknown[] = [];
  const gates: (() => void)[] = [];
  const store: EpochStore = {
    read: async () => undefined,
    close: async () => undefined,
    write: async (record) => {
      seen.push(record);
      const gate = signal();
      gates.push(gate.fire);
      await gate.promise;
    },
  };
  return { store, written: seen, release: () => gates.shift()?.() };
}

describe('what was written', () => {
  it('is nothing at first', async () => {
    expect(await open().read()).toBeUndefined();
  });

  it('is read again, the last of it, by the next process', async () => {
    const store = open();
    await store.read();
    for (const epoch of [1, 3, 5]) await store.write({ epoch, name: 'größer' });
    expect(await store.read()).toEqual({ epoch: 5, name: 'größer' });
    await store.close();
    expect(await open().read()).toEqual({ epoch: 5, name: 'größer' });
  });

  it('is one line of JSON that says what it is', async () => {
    const text = await written({ epoch: 7 });
    expect(JSON.parse(text)).toEqual({
      format: 'unsinkable epochs',
      version: 1,
      checksum: expect.stringMatching(/^[0-9a-f]{8}$/),
      record: { epoch: 7 },
    });
    expect(text).toMatch(/^[^\n]+\n$/);
  });

  it('leaves nothing beside it when it is closed', async () => {
    await written({ epoch: 1 });
    expect(readdirSync(folder)).toEqual(['pair-primary.epochs']);
  });

  it('survives a half-written draft of a process that was killed', async () => {
    await written({ epoch: 1 });
    writeFileSync(`${path}.new`, '{"format":"unsink');
    const store = open();
    expect(await store.read()).toEqual({ epoch: 1 });
    await store.write({ epoch: 3 });
    expect(await store.read()).toEqual({ epoch: 3 });
  });
});

describe('a damaged file', () => {
  it('is refused, wherever one bit of it was turned', async () => {
    const text = await written({ version: 1, epoch: 12, role: 'primary' });
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length - 1; at++) {
      for (const bit of [1, 4, 32]) {
        const turned = Buffer.from(bytes);
        turned[at]! ^= bit;
        writeFileSync(path, turned);
        await expect(readOnce()).rejects.toBeInstanceOf(StorageError);
      }
    }
  });

  it('is refused, wherever it was cut off', async () => {
    const text = await written({ epoch: 12 });
    // Without its last byte, the end of the line, it is whole.
    for (let length = 0; length < text.length - 1; length++) {
      writeFileSync(path, text.slice(0, length));
      await expect(readOnce()).rejects.toMatchObject({ code: 'ERR_STORAGE_CORRUPT' });
    }
  });

  it.each(['null', '[]', '{}', '{"format":"another"}', 'missing', '\0\0\0\0'])(
    'is refused: %j',
    async (text) => {
      writeFileSync(path, text);
      await expect(readOnce()).rejects.toMatchObject({
        code: 'ERR_STORAGE_CORRUPT',
        retriable: false,
        message: expect.stringContaining('do not put an old copy in its place'),
      });
    },
  );

  it('of a newer version is named as such', async () => {
    const text = await written({ epoch: 1 });
    writeFileSync(path, text.replace('"version":1', '"version":2'));
    await expect(readOnce()).rejects.toMatchObject({
      code: 'ERR_STORAGE_VERSION',
      message: expect.stringContaining('run the newer program'),
    });
  });
});

describe('a file that cannot be had', () => {
  it('because its folder does not exist is refused when it is read, not when it is too late', async () => {
    const store = open(join(folder, 'nowhere', 'x.epochs'));
    await expect(store.read()).rejects.toMatchObject({
      code: 'ERR_STORAGE_UNAVAILABLE',
      message: expect.stringContaining('in a folder that exists'),
    });
  });

  it('because it is a folder is refused', async () => {
    mkdirSync(path);
    await expect(open().read()).rejects.toMatchObject({ code: 'ERR_STORAGE_UNAVAILABLE' });
  });

  it('is not written silently', async () => {
    const store = open();
    await store.read();
    mkdirSync(path);
    await expect(store.write({ epoch: 1 })).rejects.toMatchObject({ code: 'ERR_STORAGE_FAILED' });
    expect(readdirSync(folder).filter((name) => name.endsWith('.new'))).toEqual([]);
  });
});

describe('a second one', () => {
  it('in this process is refused until the first is closed', async () => {
    const first = open();
    await first.read();
    await expect(open().read()).rejects.toMatchObject({
      code: 'ERR_STORAGE_IN_USE',
      retriable: true,
      message: expect.stringContaining('each has a file of its own'),
    });
    await first.close();
    expect(await open().read()).toBeUndefined();
  });

  it('is told through a link to the folder too', async () => {
    await open().read();
    symlinkSync(folder, join(folder, 'link'));
    const other = open(join(folder, 'link', 'pair-primary.epochs'));
    await expect(other.read()).rejects.toMatchObject({ code: 'ERR_STORAGE_IN_USE' });
  });

  it('is told where the path is too long for a socket', async () => {
    const deep = join(folder, 'a'.repeat(120));
    mkdirSync(deep);
    const long = join(deep, 'x.epochs');
    await open(long).read();
    symlinkSync(deep, join(folder, 'short'));
    for (const same of [long, join(folder, 'short', 'x.epochs')]) {
      await expect(open(same).read()).rejects.toMatchObject({ code: 'ERR_STORAGE_IN_USE' });
    }
  });

  it('in another process is refused for as long as that lives, however it ends', async () => {
    const child = spawn(process.execPath, ['-e', HOLDER, `${path}.lock`], { stdio: 'pipe' });
    children.push(child);
    await once(child.stdout, 'data');
    await expect(open().read()).rejects.toMatchObject({ code: 'ERR_STORAGE_IN_USE' });
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(readdirSync(folder)).toEqual(['pair-primary.epochs.lock']);
    expect(await open().read()).toBeUndefined();
  });
});

describe('the option `store`', () => {
  it.each([
    ['pair', 'pair-primary.epochs'],
    ['a/b: c*', 'a%2Fb%3A%20c%2A-primary.epochs'],
    ['..', '..-primary.epochs'],
  ])('of a pair named %j is by default %s', (name, file) => {
    expect(defaultEpochFile(name, 'primary')).toBe(file);
  });

  it('names a file that exists for the longest name, too', () => {
    const names = ['ü'.repeat(127), 'ä'.repeat(127)].map((name) =>
      defaultEpochFile(name, 'backup'),
    );
    expect(names.every((name) => name.length < 60)).toBe(true);
    expect(new Set(names).size).toBe(2);
  });

  it('may be a store of the user', () => {
    const store = epochFile(path);
    expect(openStore(store, 'unused').store).toBe(store);
    expect(openStore(path, 'unused').what).toBe(path);
  });
});

describe('records one after the other', () => {
  it('never overlap, and those that wait are written as one', async () => {
    const { store, written: seen, release } = slowStore();
    const writer = new RecordWriter(store);
    const done = vi.fn<(epoch: number, error?: Error) => void>();
    for (const epoch of [1, 2, 3]) writer.write({ epoch }, (error) => done(epoch, error));
    expect(seen).toEqual([{ epoch: 1 }]);
    expect(writer.hasWritten).toBe(false);
    release();
    await vi.waitFor(() => expect(done).toHaveBeenCalledTimes(1));
    expect(seen).toEqual([{ epoch: 1 }, { epoch: 3 }]);
    release();
    await writer.settled();
    expect(done.mock.calls).toEqual([
      [1, undefined],
      [2, undefined],
      [3, undefined],
    ]);
    expect(writer.hasWritten).toBe(true);
  });

  it('that fail are told so, whatever the store throws, and the next ones are tried', async () => {
    const failures: unknown[] = [new Error('full'), 'no error at all'];
    const kept: unknown[] = [];
    const writer = new RecordWriter({
      read: async () => undefined,
      close: async () => undefined,
      write: (record) => {
        if (failures.length > 0) throw failures.shift();
        kept.push(record);
        return Promise.resolve();
      },
    });
    const outcomes: (string | undefined)[] = [];
    for (const epoch of [1, 2, 3]) {
      await new Promise<void>((next) =>
        writer.write({ epoch }, (error) => {
          outcomes.push(error?.message);
          next();
        }),
      );
    }
    expect(outcomes).toEqual(['full', 'no error at all', undefined]);
    expect(kept).toEqual([{ epoch: 3 }]);
  });
});
