// What people see: a progress line on stderr, tables on stdout.
import Table from 'cli-table3';

const plain = process.stdout.isTTY ? {} : { style: { head: [], border: [] } };

/** Shows what is going on. Without a terminal, one line each. */
export function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
  else if (text !== '') process.stderr.write(`${text}\n`);
}

/** Prints a title and a table whose first columns, as many as `texts`, are left-aligned. */
export function showTable({ title, head, rows, texts = 1 }) {
  const colAligns = head.map((_, index) => (index < texts ? 'left' : 'right'));
  const table = new Table({ head, colAligns, ...plain });
  table.push(...rows);
  console.log(`\n${title}\n${table.toString()}`);
}

export function showFacts(facts) {
  const width = Math.max(...Object.keys(facts).map((name) => name.length));
  for (const [name, value] of Object.entries(facts)) console.log(`${name.padEnd(width)}  ${value}`);
}

export const whole = (number) => Math.round(number).toLocaleString('en');
export const milliseconds = (number) => number.toFixed(number < 10 ? 2 : number < 100 ? 1 : 0);
export const percent = (share) => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
export const mebibytes = (bytes) => (bytes / 2 ** 20).toFixed(0);
export const times = (ratio) => ratio.toFixed(ratio < 3 ? 2 : 1);
