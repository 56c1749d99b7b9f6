/** The architecture as rules over sources: each gives a line for what breaks it. */
import { posix } from 'node:path';
import { scan } from './source.ts';

/** Sources by their path in the repository. */
export type Sources = ReadonlyMap<string, string>;

/** In the rooms of patterns all is pure but what the user holds. */
const SHELLS = new Set(
  [
    'majordomo/index',
    'majordomo/broker/broker',
    'majordomo/client/client',
    'majordomo/client/part-stream',
    'majordomo/client/request-map',
    'majordomo/client/waiters',
    'majordomo/worker/worker',
    'majordomo/worker/worker-request',
    'pirate/index',
    'pirate/client',
    'pirate/queue',
    'pirate/worker',
    'freelance/index',
    'freelance/client',
    'freelance/server',
    'titanic/index',
    'titanic/executions',
    'titanic/rival-watch',
    'titanic/titanic',
    'titanic/titanic-admin',
    'titanic/titanic-client',
    'failover/index',
    'failover/binary-star',
    'failover/witness-server',
    'failover/epoch-file',
    'failover/etcd-election',
    'failover/etcd-client',
    'clone/index',
    'clone/client/client',
    'clone/client/conditions',
    'clone/client/drivers',
    'clone/client/typed-client',
    'clone/client/watch',
    'clone/client/writes',
    'clone/replay/inbox',
    'clone/replay/publisher',
    'clone/replay/subscriber',
    'clone/server/server',
  ].map((name) => `src/${name}.ts`),
);

/** What each room may import of others; of itself it may import all. */
const ROOMS: Readonly<Record<string, readonly RegExp[]>> = {
  core: [],
  transport: [/^src\/core\//],
  majordomo: [/^src\/core\//, /^src\/transport\//],
  pirate: [/^src\/core\//, /^src\/transport\//],
  freelance: [/^src\/core\//, /^src\/transport\//],
  failover: [/^src\/core\//, /^src\/transport\//],
  storage: [/^src\/core\//],
  titanic: [
    /^src\/core\//,
    /^src\/transport\//,
    /^src\/storage\/index\.ts$/,
    /^src\/majordomo\/(?:index|payload|options|wire\/service-name)\.ts$/,
  ],
  clone: [/^src\/core\//, /^src\/transport\//, /^src\/storage\/index\.ts$/],
  testing: [
    /^src\/core\//,
    /^src\/(majordomo|pirate|freelance|titanic|failover|clone)\//,
    /^src\/storage\/(engine|options|record|storage)\.ts$/,
    /^src\/transport\/(driver|transport)\.ts$/,
  ],
  cli: [
    /^src\/core\//,
    /^src\/(majordomo|pirate|freelance|storage|titanic|failover|clone)\//,
    /^src\/testing\//,
  ],
};

/** Rooms without packages and without node's own modules. */
const PATTERNS = new Set(['majordomo', 'pirate', 'freelance', 'titanic', 'failover', 'clone']);
const WITHOUT_PACKAGES = new Set(['core', ...PATTERNS]);

/** A method may be called `await`; as a keyword it has, once formatted, no parenthesis close to it. */
const IMPURE =
  /\b(?:Date|performance|setTimeout|setInterval|setImmediate|clearTimeout|clearInterval|queueMicrotask|crypto|process|console|async|Promise|require)\b|\bawait\b(?!\()|\bMath\s*\.\s*random\b/g;

/** Where a name of a package may stand. */
const ONE_FILE: Readonly<Record<string, RegExp>> = {
  'classic-level': /^src\/storage\/level-engine\.ts$/,
  zeromq: /^src\/transport\/zeromq\.ts$/,
  'fast-check': /^src\/testing\//,
  '@msgpack/msgpack': /^src\/core\/body-codec\.ts$/,
};

const LONGEST = 450;

function roomOf(path: string): string {
  return /^src\/([^/]+)\//.exec(path)?.[1] ?? '';
}

/** True if a file may hold no time, chance or outside world. */
export function isPure(path: string): boolean {
  const room = roomOf(path);
  return WITHOUT_PACKAGES.has(room) && !SHELLS.has(path);
}

/** Who may import whom. */
export function importFaults(sources: Sources): string[] {
  return each(sources, (path, text) =>
    scan(text).imports.flatMap((specifier) => {
      const fault = specifier.startsWith('.')
        ? roomFault(path, posix.join(posix.dirname(path), specifier))
        : packageFault(path, specifier);
      return fault === undefined ? [] : [`imports ${specifier}: ${fault}`];
    }),
  );
}

function roomFault(path: string, target: string): string | undefined {
  const [from, to] = [roomOf(path), roomOf(target)];
  if (!target.startsWith('src/')) return 'it is not of the sources';
  if (from === '') return to === 'cli' || to === 'testing' ? 'nobody needs it' : undefined;
  if (isPure(path) && !isPure(target)) return 'a pure file imports pure files only';
  if (from === 'testing' && PATTERNS.has(to) && !isPure(target)) return 'it is a shell';
  if (from === to) return undefined;
  const allowed = ROOMS[from];
  if (allowed === undefined) return `nobody said what ${from} may import`;
  return allowed.some((pattern) => pattern.test(target)) ? undefined : 'another room';
}

function packageFault(path: string, specifier: string): string | undefined {
  const place = ONE_FILE[specifier];
  if (place !== undefined) return place.test(path) ? undefined : 'it has a place of its own';
  return WITHOUT_PACKAGES.has(roomOf(path)) ? 'this room has no packages' : undefined;
}

/** What a pure file may not mention. */
export function purityFaults(sources: Sources): string[] {
  return each(sources, (path, text) =>
    isPure(path) ? [...scan(text).code.matchAll(IMPURE)].map(([word]) => `mentions ${word}`) : [],
  );
}

/** Length, and what nobody came back to. */
export function fileFaults(sources: Sources): string[] {
  return each(sources, (path, text) => {
    const faults: string[] = [];
    const lines = text.trimEnd().split('\n').length;
    if (path.startsWith('src/') && lines > LONGEST) faults.push(`has ${lines} lines`);
    if (/\b(?:TODO|FIXME|XXX)\b/.test(text)) faults.push('has something left to do');
    if (/\.(?:skip|only)\b/.test(scan(text).code)) faults.push('leaves tests out');
    return faults;
  });
}

function each(
  sources: Sources,
  check: (path: string, text: string) => readonly string[],
): string[] {
  return [...sources].flatMap(([path, text]) =>
    check(path, text).map((fault) => `${path} ${fault}`),
  );
}
