// @ts-check
/**
 * What the processes of these demos write down as they go: a line for everything that a kill must not undo.
 * A line that was written survives its process; one that was cut off by the kill has no newline.
 *
 * @typedef {'begun' | 'ended' | 'stored'} Deed `stored`: of the Titanic, the answer is durable
 * @typedef {{ deed: Deed, request: number, execution: string, time: number }} Entry
 */
import { openSync, writeSync } from 'node:fs';

/** @type {readonly string[]} */
const DEEDS = /** @satisfies {readonly Deed[]} */ (['begun', 'ended', 'stored']);

/** Milliseconds on a clock that all processes of a machine share, and that never jumps. */
export function now() {
  return Number(process.hrtime.bigint()) / 1e6;
}

/**
 * Opens a log.
 * @param {string} path
 * @returns {(deed: Deed, request: number, execution?: string) => void} writes a line
 */
export function openLog(path) {
  const file = openSync(path, 'a');
  return (deed, request, execution = '-') => {
    writeSync(file, `${deed} ${request} ${execution} ${now()}\n`);
  };
}

/**
 * @param {string} text
 * @returns {Entry[]}
 */
export function parseLog(text) {
  const lines = text.split('\n').slice(0, -1);
  return lines.map((line) => {
    const [deed = '', request, execution = '', time] = line.split(' ');
    if (!isDeed(deed)) throw new Error(`not a line of a log: ${line}`);
    return { deed, request: Number(request), execution, time: Number(time) };
  });
}

/**
 * @param {string} word
 * @returns {word is Deed}
 */
function isDeed(word) {
  return DEEDS.includes(word);
}
