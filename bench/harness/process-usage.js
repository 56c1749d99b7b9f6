// What the kernel knows about a process. Linux only.
import { readFileSync, writeFileSync } from 'node:fs';

export const isKnown = process.platform === 'linux';

/** The kernel counts in these, whatever the machine. */
const TICKS_PER_SECOND = 100;

/** Seconds of CPU that all threads of a process have used; 0 where it is not known. */
export function cpuSeconds(pid) {
  if (!isKnown) return 0;
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name in brackets may itself have spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Seconds of CPU that this machine has spent on processes, or has lost to other machines. */
export function machineSeconds() {
  if (!isKnown) return 0;
  const [user, nice, system, , , , , steal] = readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)[0]
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user + nice + system + steal) / TICKS_PER_SECOND;
}

/** Bytes resident now, and at the most since the start or `forgetPeak`. */
export function memory(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const bytes = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)[1]) * 1024;
  return { resident: bytes('VmRSS'), peak: bytes('VmHWM') };
}

/** From now on the peak is that of what follows. */
export function forgetPeak(pid) {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

/** Files and sockets that one process may have open. */
export function openFileLimit() {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  const [, soft] = /^Max open files\s+(\S+)/m.exec(limits);
  return soft === 'unlimited' ? Infinity : Number(soft);
}
