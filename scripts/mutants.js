// @ts-check
// Plants each bug of test/mutants in a copy of the sources, and demands that the fault-injection
// suite of its folder's name finds it. A kill counts only if the broken invariant is the one the patch names, and if the
// very plan that broke it passes on the clean code.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { SingleBar } from 'cli-progress';
import Table from 'cli-table3';
import { applyPatch, parsePatch } from 'diff';
import { suites, replay } from '../dist/testing/index.js';

const HELP = `Usage: npm run mutants -- [PATTERN | NAME…] [--schedules N] [--seed S]

Plants the bugs of test/mutants one by one and reports which of them the suite finds.
  PATTERN        only those of a folder, such as majordomo
  NAME           only these (default: all)
  --schedules N  how many schedules a bug may survive (default 5000)
  --seed S       the seed of the schedules (default 1)`;

const root = resolve(dirname(new URL(import.meta.url).pathname), '..');
const folder = join(root, 'test/mutants');
const compiler = join(
  dirname(createRequire(import.meta.url).resolve('typescript/package.json')),
  'bin/tsc',
);

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    schedules: { type: 'string', default: '5000' },
    seed: { type: 'string', default: '1' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}

/** As `pattern/name`. */
const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.patch'))
  .map((file) => file.slice(0, -'.patch'.length))
  .filter((name) => {
    const wanted = [name, dirname(name), basename(name)];
    return positionals.length === 0 || wanted.some((word) => positionals.includes(word));
  })
  .toSorted();
if (names.length === 0) {
  console.error(`error ERR_USAGE: no such mutant; there are the files of test/mutants`);
  process.exit(2);
}

const bar = new SingleBar({
  format: '[{bar}] {value}/{total} mutants, now {name}',
  hideCursor: null,
  clearOnComplete: true,
});
bar.start(names.length, 0, { name: '' });
/** @type {Array<Verdict & { name: string }>} */
const hunted = [];
const waiting = [...names];
await Promise.all(Array.from({ length: availableParallelism() }, huntInTurn));
bar.stop();
const results = hunted.toSorted((a, b) => names.indexOf(a.name) - names.indexOf(b.name));

const table = new Table({
  head: ['mutant', 'verdict', 'schedules', 'invariant'],
  style: { head: [] },
});
for (const { name, verdict, schedules, invariant } of results)
  table.push([name, verdict, schedules, invariant]);
console.log(table.toString());
const killed = results.filter(({ verdict }) => verdict === 'killed');
const needed = killed.map(({ schedules }) => schedules).toSorted((a, b) => a - b);
console.log(
  `${killed.length} of ${results.length} mutants killed, median ${needed[needed.length >> 1] ?? '-'} schedules`,
);
process.exitCode = killed.length === results.length ? 0 : 1;

/**
 * @typedef {{ verdict: string, schedules: number, invariant: string }} Verdict
 */

/** Hunts one after the other until none is left. */
async function huntInTurn() {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    bar.update(hunted.length, { name });
    hunted.push({ name, ...(await hunt(name)) });
  }
}

/**
 * Plants one bug and runs the suite on it.
 * @param {string} name
 * @returns {Promise<Verdict>}
 */
async function hunt(name) {
  const [head = '', ...rest] = readFileSync(join(folder, `${name}.patch`), 'utf8').split('\n\n');
  const expected = head.replace('Caught by: ', '').split('; ');
  const sandbox = mkdtempSync(join(tmpdir(), 'unsinkable-mutant-'));
  try {
    const obstacle = await plant(sandbox, rest.join('\n\n'));
    if (obstacle !== undefined) return { verdict: obstacle, schedules: 0, invariant: '' };
    const report = await run(sandbox, dirname(name));
    const { repro, schedules } = report;
    if (repro === undefined)
      return { verdict: 'SURVIVED', schedules, invariant: expected.join('; ') };
    const { invariant } = repro;
    if (!expected.includes(invariant)) return { verdict: 'WRONG INVARIANT', schedules, invariant };
    const clean = replay(suiteOf(repro), repro.plan).violation;
    if (clean !== undefined) {
      // A bug of the clean code: worth more than the mutant.
      mkdirSync(join(root, 'reports'), { recursive: true });
      writeFileSync(join(root, `reports/${name}.json`), JSON.stringify(repro, null, 2));
      const verdict = `CLEAN CODE FAILS TOO: see reports/${name}.json`;
      return { verdict, schedules, invariant: clean.invariant };
    }
    return { verdict: 'killed', schedules, invariant };
  } finally {
    rmSync(sandbox, { recursive: true, force: true });
  }
}

/**
 * A compiled copy of the project with the bug in it, or why there is none.
 * @param {string} sandbox
 * @param {string} patch
 * @returns {Promise<string | undefined>}
 */
async function plant(sandbox, patch) {
  for (const part of ['src', 'package.json', 'tsconfig.base.json', 'tsconfig.build.json']) {
    cpSync(join(root, part), join(sandbox, part), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(sandbox, 'node_modules'));
  for (const part of parsePatch(patch)) {
    const file = part.newFileName?.replace(/^b\//, '');
    if (file === undefined) return 'THE PATCH NAMES NO FILE';
    const target = join(sandbox, file);
    const patched = applyPatch(readFileSync(target, 'utf8'), part);
    if (patched === false) return 'NO LONGER APPLIES: make it anew';
    writeFileSync(target, patched);
  }
  const options = ['--noUnusedLocals', 'false', '--noUnusedParameters', 'false'];
  const compiled = await execute(sandbox, [compiler, '-p', 'tsconfig.build.json', ...options]);
  return compiled.status === 0 ? undefined : `DOES NOT COMPILE:\n${compiled.stdout}`;
}

/**
 * Runs Node to its end.
 * @param {string} cwd
 * @param {string[]} args
 */
async function execute(cwd, args) {
  const child = spawn(process.execPath, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(child, 'close');
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [status] = await ended;
  return { status, stdout, stderr };
}

/**
 * Runs a suite in the copy and returns its report.
 * @param {string} sandbox
 * @param {string} suite
 * @returns {Promise<{ schedules: number, repro?: { suite: string, plan: unknown, invariant: string } }>}
 */
async function run(sandbox, suite) {
  const { schedules, seed } = values;
  const args = [
    'dist/cli/main.js',
    'chaos',
    suite,
    '--schedules',
    schedules,
    '--seed',
    seed,
    '--report',
    'report.json',
  ];
  const done = await execute(sandbox, args);
  try {
    return JSON.parse(readFileSync(join(sandbox, 'report.json'), 'utf8'))[0];
  } catch {
    throw new Error(`the suite did not run: ${done.stderr}`);
  }
}

/**
 * The clean suite that a plan belongs to.
 * @param {{ suite: string }} repro
 */
function suiteOf({ suite: name }) {
  const suite = suites[name];
  if (suite === undefined) throw new Error(`there is no suite '${name}'`);
  return suite;
}
