/** The architecture holds: who imports whom, what is pure, and nothing left lying about. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { applyPatch, parsePatch } from 'diff';
import { describe, expect, test } from 'vitest';
import { fileFaults, importFaults, isPure, purityFaults, type Sources } from './tidy/rules.ts';
import { scan } from './tidy/source.ts';

function read(folder: string): Map<string, string> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return new Map(
    names
      .filter((name) => /\.(?:ts|js)$/.test(name) && !name.includes('node_modules'))
      .map((name) => join(folder, name).replaceAll('\\', '/'))
      .toSorted()
      .map((path) => [path, readFileSync(path, 'utf8')]),
  );
}

const SOURCES = read('src');
/** These files name what they look for. */
const OWN = /^test\/tidy[./]/;
const TESTS = new Map([...read('test')].filter(([path]) => !OWN.test(path)));
const planted = (path: string, text: string): Sources => new Map([[path, text]]);

const MUTANTS = 'test/mutants';

describe('the sources', () => {
  test('are all there', () => {
    expect(SOURCES.size).toBeGreaterThan(60);
    expect(TESTS.size).toBeGreaterThan(30);
    expect([...SOURCES.keys()].filter(isPure).length).toBeGreaterThan(25);
    expect(isPure('src/majordomo/broker/broker-machine.ts')).toBe(true);
    expect(isPure('src/majordomo/broker/broker.ts')).toBe(false);
  });

  test('import only what their room may', () => {
    expect(importFaults(SOURCES)).toEqual([]);
  });

  test('are pure where they should be', () => {
    expect(purityFaults(SOURCES)).toEqual([]);
  });

  test('are short, and leave nothing to do', () => {
    expect([...fileFaults(SOURCES), ...fileFaults(TESTS)]).toEqual([]);
  });

  test('import zeromq in exactly one file', () => {
    const importing = [...SOURCES].filter(([, text]) => scan(text).imports.includes('zeromq'));
    expect(importing.map(([path]) => path)).toEqual(['src/transport/zeromq.ts']);
  });
});

describe('each mutant', () => {
  const invariants = [...SOURCES].filter(([path]) => path.startsWith('src/testing/'));
  const names = readdirSync(MUTANTS, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.patch'),
  );

  /** Why a mutant is of no use, or undefined. */
  function faultOf(mutant: string): string | undefined {
    const [head = '', ...rest] = mutant.split('\n\n');
    if (!head.startsWith('Caught by: ')) return 'names no invariant';
    for (const invariant of head.replace('Caught by: ', '').split('; ')) {
      const isKnown = invariants.some(
        ([, text]) => text.includes(`'${invariant}'`) || text.includes(`"${invariant}"`),
      );
      if (!isKnown) return `names an unknown invariant: ${invariant}`;
    }
    const parts = parsePatch(rest.join('\n\n'));
    for (const part of parts) {
      const path = part.newFileName?.replace(/^b\//, '') ?? '';
      const source = SOURCES.get(path);
      if (source === undefined) return `patches no source: ${path}`;
      if (applyPatch(source, part) === false) return `no longer applies to ${path}`;
    }
    return undefined;
  }

  test.each(names)('%s applies, and names an invariant', (name) => {
    expect(faultOf(readFileSync(join(MUTANTS, name), 'utf8'))).toBeUndefined();
  });

  test('that does not is found', () => {
    const patch = '--- a/src/index.ts\n+++ b/src/index.ts\n@@ -1,1 +1,1 @@\n-no such line\n+x\n';
    expect(faultOf(patch)).toBe('names no invariant');
    expect(faultOf(`Caught by: luck\n\n${patch}`)).toBe('names an unknown invariant: luck');
    expect(faultOf(`Caught by: conservation\n\n${patch}`)).toBe(
      'no longer applies to src/index.ts',
    );
    expect(faultOf(`Caught by: conservation\n\n${patch.replaceAll('index', 'none')}`)).toBe(
      'patches no source: src/none.ts',
    );
  });
});

describe('the rules find', () => {
  test.each([
    ['src/core/x.ts', "import { a } from '../majordomo/wire/protocol.ts';"],
    ['src/core/x.ts', "import { join } from 'node:path';"],
    ['src/core/x.ts', "export * from 'eventemitter3';"],
    ['src/majordomo/x-machine.ts', "import type { Clock } from '../transport/transport.ts';"],
    ['src/majordomo/broker/x-machine.ts', "import { MajordomoBroker } from './broker.ts';"],
    ['src/majordomo/broker/broker.ts', "import { EventEmitter } from 'node:events';"],
    ['src/majordomo/broker/broker.ts', "import { SimWorld } from '../../testing/sim-world.ts';"],
    ['src/transport/x.ts', "import { encode } from '../majordomo/wire/protocol.ts';"],
    ['src/transport/x.ts', "import { Router } from 'zeromq';"],
    ['src/transport/x.ts', "const { Router } = await import('zeromq');"],
    ['src/testing/x.ts', "import { Router } from 'zeromq';"],
    ['src/testing/x.ts', "import { zeromqTransport } from '../transport/zeromq.ts';"],
    ['src/testing/x.ts', "import { MajordomoBroker } from '../majordomo/broker/broker.ts';"],
    ['src/cli/x.ts', "import fc from 'fast-check';"],
    ['src/cli/x.ts', "import { Driver } from '../transport/driver.ts';"],
    ['src/testing/x.ts', "import { main } from '../cli/main.ts';"],
    ['src/index.ts', "export * from './cli/main.ts';"],
    ['src/index.ts', "export * from './testing/index.ts';"],
    ['src/clone/x.ts', "import { a } from '../majordomo/options.ts';"],
    ['src/unheard/x.ts', "import { a } from '../core/frames.ts';"],
    ['src/core/x.ts', "import '../../test/cli/commands.ts';"],
  ])('in %s: %s', (path, text) => {
    expect(importFaults(planted(path, text))).toHaveLength(1);
  });

  test.each([
    ['src/majordomo/x-machine.ts', "import { a } from '../core/frames.ts';"],
    ['src/majordomo/broker/broker.ts', "import { Driver } from '../../transport/driver.ts';"],
    ['src/transport/x.ts', "import { randomBytes } from 'node:crypto';"],
    ['src/testing/x.ts', "import { Driver } from '../transport/driver.ts';"],
    ['src/cli/x.ts', "import { MajordomoBroker } from '../majordomo/broker/broker.ts';"],
    ['src/core/x.ts', "// import { a } from 'zeromq';"],
    ['src/core/x.ts', "const text = `no reply from '${service}'`;"],
  ])('nothing in %s: %s', (path, text) => {
    expect(importFaults(planted(path, text))).toEqual([]);
  });

  test.each([
    'const now = Date.now();',
    'setTimeout(() => {}, 1);',
    'queueMicrotask(go);',
    'const chance = Math.random();',
    'const chance = Math . random();',
    'const id = crypto.randomUUID();',
    'if (process.env.DEBUG) go();',
    "console.log('x');",
    'async function go() {}',
    'await go();',
    'for await (const part of parts) go(part);',
    'let wake: Promise<void>;',
    'const text = `at ${performance.now()} of ${`${Date.now()}`}`;',
    'const slash = a / b; const now = Date.now(); const other = c / d;',
    "const quote = /'/; const now = Date.now(); // it's late",
  ])('what is not pure: %s', (text) => {
    expect(purityFaults(planted('src/core/x.ts', text)).length).toBeGreaterThan(0);
    expect(purityFaults(planted('src/transport/x.ts', text))).toEqual([]);
  });

  test.each([
    '// Date.now() is banned',
    '/** await the\n * process */',
    "const text = 'console';",
    'const text = "it\'s a Date";',
    'const text = `a ${name} Promise \\` Date ${a} process`;',
    'const pattern = /[/]Date/;',
    'this.sessions.await(session);',
    'const updatedDate = candidate;',
    'const call = backoff(settings, random());',
  ])('nothing in: %s', (text) => {
    expect(purityFaults(planted('src/core/x.ts', text))).toEqual([]);
  });

  test.each([
    ['src/x.ts', 'line\n'.repeat(451), 'has 451 lines'],
    ['src/x.ts', '// TODO: later', 'has something left to do'],
    ['test/x.test.ts', "test.skip('x', () => {});", 'leaves tests out'],
    ['test/x.test.ts', "describe.only('x', () => {});", 'leaves tests out'],
  ])('in %s what was left behind', (path, text, fault) => {
    expect(fileFaults(planted(path, text))).toEqual([`${path} ${fault}`]);
  });
});
