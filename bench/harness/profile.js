// What CPU profiles say, in short: where each role spent its time.
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { percent, showTable } from './screen.js';

/** Functions shown of each role. */
const SHOWN = 12;

export function showHottest(folder) {
  const processes = readdirSync(folder);
  const roles = new Set(processes.map(roleOf));
  for (const role of roles) {
    const total = new Map();
    for (const name of processes.filter((other) => roleOf(other) === role)) {
      for (const file of readdirSync(join(folder, name))) {
        addSelfTimes(total, join(folder, name, file));
      }
    }
    showTable({ title: `CPU of ${role}`, head: ['function', 'self'], rows: rowsOf(total) });
  }
  console.log(
    `profiles are in ${relative(process.cwd(), folder)}: open them in Chrome's or VS Code's profiler`,
  );
}

/** Of the folder of a process. */
const roleOf = (name) => /^\d+-(.*)$/.exec(name)?.[1];

/** Microseconds that each function was on top of the stack. */
function addSelfTimes(total, path) {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(path, 'utf8'));
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  samples.forEach((id, index) => {
    const name = names.get(id);
    if (name !== '(idle)') total.set(name, (total.get(name) ?? 0) + timeDeltas[index]);
  });
}

function nameOf({ functionName, url, lineNumber }) {
  const file = url.split('/').slice(-2).join('/');
  const name = functionName === '' ? '(anonymous)' : functionName;
  return file === '' ? name : `${name} ${file}:${lineNumber + 1}`;
}

function rowsOf(total) {
  const all = [...total.values()].reduce((sum, time) => sum + time, 0);
  return [...total]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, SHOWN)
    .map(([name, time]) => [name, percent(time / all)]);
}
