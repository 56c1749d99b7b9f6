// @ts-check
// Kills brokers of a pair and their witness with SIGKILL again and again: test/processes/failover-kills.test.ts
// does it a few times, this as often as is wanted.
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';

const HELP = `Usage: node scripts/failover-kills.js [--kills N] [--seed S] [--vote]

Kills the active broker of a pair, the passive one and the witness with SIGKILL, one after the other, under
load, and restarts each. Nothing may be lost, nothing executed twice under its key, no client served under a
lower epoch than before. Exit code 1 if anything is wrong.
  --kills N  how often (default 200)
  --seed S   decides when (default: a fresh one)
  --vote     without a witness: clients vote`;

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '200' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    vote: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const [kills, seed] = [Number(values.kills), Number(values.seed)];
if (values.help) console.log(HELP);
else if (!(Number.isSafeInteger(kills) && kills > 0 && Number.isSafeInteger(seed))) {
  console.error(HELP);
  process.exitCode = 2;
} else {
  console.log(`${kills} kills, seed ${seed}`);
  const { status } = spawnSync('npx', ['vitest', 'run', 'test/processes/failover-kills.test.ts'], {
    stdio: 'inherit',
    shell: process.platform === 'win32',
    env: {
      ...process.env,
      FAILOVER_KILLS: String(kills),
      FAILOVER_SEED: String(seed),
      FAILOVER_MODES: values.vote ? 'vote' : 'witness',
    },
  });
  process.exitCode = status ?? 1;
}
