/** Verifies the tables in a folder of LevelDB, before LevelDB is let at them. */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { tablesIn } from './level-manifest.ts';
import { tableFault, type Bounds } from './level-table.ts';

/** A table that LevelDB must not read. */
export interface UnsoundTable {
  readonly path: string;
  readonly reason: string;
}

const TABLE = /^(\d+)\.(?:ldb|sst)$/;

/**
 * The first table in use that would do harm; undefined if none would. What is not in use may be half
 * written, by a process that was killed.
 * @throws what node:fs throws
 */
export async function unsoundTable(folder: string): Promise<UnsoundTable | undefined> {
  const tables = await tablesInUse(folder);
  for (const name of await tableNames(folder)) {
    const bounds = tables.get(numberOf(name));
    const found = bounds && (await check(join(folder, name), bounds));
    if (found) return found;
  }
  return undefined;
}

/** All tables that would do harm, in use or not. @throws what node:fs throws */
export async function unsoundTables(folder: string): Promise<UnsoundTable[]> {
  const tables = await tablesInUse(folder);
  const unsound: UnsoundTable[] = [];
  for (const name of await tableNames(folder)) {
    const found = await check(join(folder, name), tables.get(numberOf(name)));
    if (found) unsound.push(found);
  }
  return unsound;
}

async function check(path: string, bounds: Bounds | undefined): Promise<UnsoundTable | undefined> {
  const reason = tableFault(await readFile(path), bounds);
  return reason === undefined ? undefined : { path, reason };
}

/** None if there is no manifest: LevelDB says that itself. */
async function tablesInUse(folder: string): Promise<Map<number, Bounds>> {
  const current = await readFile(join(folder, 'CURRENT'), 'latin1').catch(() => '');
  const name = /^MANIFEST-\d+(?=\n$)/.exec(current)?.[0];
  const manifest = name && (await readFile(join(folder, name)).catch(() => undefined));
  return tablesIn(manifest || Buffer.alloc(0));
}

async function tableNames(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => TABLE.test(name));
}

function numberOf(name: string): number {
  return Number(TABLE.exec(name)?.[1]);
}
