/** Tables for terminals: columns without lines and colours, so that grep and awk read them too. */
import Table from 'cli-table3';
import { printable } from './text.ts';

/** A heading, and which side its column keeps to. */
export type Column = readonly [heading: string, side: 'left' | 'right'];

/** The rows under their headings. What a text holds cannot move the cursor or change colours. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly (string | number)[])[],
): string {
  const lines = new Table({
    head: columns.map(([heading]) => heading),
    colAligns: columns.map(([, side]) => side),
    chars: NO_LINES,
    style: { 'padding-left': 0, 'padding-right': 3, head: [], border: [] },
  });
  lines.push(...rows.map((row) => row.map((cell) => printable(String(cell)))));
  return lines
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

const NO_LINES = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '',
};
