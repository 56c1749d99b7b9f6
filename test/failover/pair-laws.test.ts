/** The machines of a pair and of its witness keep the five laws of the machine contract. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Codec } from '../../src/core/codec.ts';
import { EPOCH_STEP_LIMIT } from '../../src/core/election.ts';
import type { Frames } from '../../src/core/machine.ts';
import type {
  PairInput,
  PairOutput,
  Role,
  VoterInput,
  VoterOutput,
} from '../../src/failover/commands.ts';
import type {
  PairCall,
  PairEvent,
  PairPort,
  WitnessCall,
  WitnessEvent,
  WitnessPort,
} from '../../src/failover/failover-events.ts';
import { PairMachine, type PairSettings } from '../../src/failover/pair-machine.ts';
import { pairCodec, stockCodec, witnessCodec } from '../../src/failover/protocol.ts';
import { WitnessMachine } from '../../src/failover/witness-machine.ts';
import { checkLaws, lawSteps, type LawInput, type LawSubject } from '../../src/testing/laws.ts';
import { storySettings } from './pair-story.ts';

const RUNS = { numRuns: 150, seed: 20_262 };

const kind = <Kind extends string>(name: Kind): fc.Arbitrary<Kind> => fc.constant(name);

/** Few of each, so that they meet. */
const epochs = fc.oneof(
  { weight: 20, arbitrary: fc.integer({ min: 0, max: 6 }) },
  { weight: 1, arbitrary: fc.constantFrom(EPOCH_STEP_LIMIT, EPOCH_STEP_LIMIT * 3) },
);
const pairs = fc.oneof(
  { weight: 12, arbitrary: kind('pair') },
  { weight: 1, arbitrary: kind('other') },
);
const small = fc.integer({ min: 1, max: 3 });
const numbers = fc.integer({ min: 1, max: 8 });
const beats = fc.integer({ min: 1, max: 40 });
const roles = fc.constantFrom('primary', 'backup');
const speaker = { pair: pairs, role: roles, life: small };
const leases = fc.constantFrom(10, 200, 5000);

const commands: fc.Arbitrary<PairInput> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      type: kind('state'),
      ...speaker,
      beat: beats,
      state: fc.constantFrom('waiting', 'passive', 'active', 'leaving'),
      epoch: epochs,
      holds: fc.constantFrom(undefined, 0, 3, 4),
      endpoint: fc.constantFrom('', 'tcp://0.0.0.0:5', 'tcp://a:5'),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      type: kind('claim'),
      ...speaker,
      number: beats,
      epoch: epochs,
      lease: leases,
      synchronised: fc.boolean(),
      alone: fc.boolean(),
      forced: fc.boolean(),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ type: kind('grant'), ...speaker, number: numbers, epoch: epochs }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: kind('refusal'),
      ...speaker,
      number: numbers,
      reason: fc.constantFrom('held', 'starting', 'outdated', 'unsynchronised'),
      epoch: epochs,
      timeLeft: fc.constantFrom(0, 0.001, 50, 5000),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: kind('release'), ...speaker, epoch: epochs }) },
);

const digits: fc.Arbitrary<PairInput> = fc.record({
  type: kind('stockState'),
  digit: fc.constantFrom(1, 2, 3, 4),
});

const garbage = fc.array(fc.uint8Array({ maxLength: 10 }), { maxLength: 3 });

type PairCodec = Codec<PairPort, PairInput, PairOutput>;

function framesOf(codec: PairCodec, command: PairInput): Frames {
  return codec.encode('peer', command, undefined).frames;
}

// The pair

const ports = fc.constantFrom<PairPort[]>('pair', 'pair', 'pair', 'peer', 'witness');
const peers = fc.constantFrom('', 'a', 'b');

const calls: fc.Arbitrary<PairCall> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: kind('asked') }) },
  { weight: 4, arbitrary: fc.record({ type: kind('seen'), epoch: epochs }) },
  {
    weight: 6,
    arbitrary: fc.record({
      type: kind('stand'),
      standing: fc.record({
        endpoint: fc.constantFrom(undefined, 'tcp://me:1'),
        holds: fc.constantFrom(undefined, undefined, 0, 3, Infinity),
        alone: fc.constantFrom(undefined, true, false),
      }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom<PairCall[]>({ type: 'promote' }, { type: 'resign' }),
  },
  { weight: 1, arbitrary: fc.constantFrom<PairCall[]>({ type: 'drain' }, { type: 'stop' }) },
);

function placeOf({ type }: PairInput): PairPort {
  if (type === 'grant' || type === 'refusal') return 'witness';
  return type === 'stockState' ? 'peer' : 'pair';
}

function inputsOf(codec: PairCodec, role: Role): fc.Arbitrary<LawInput<PairPort, PairCall>> {
  const grants = fc.record({
    type: kind('grant'),
    pair: kind('pair'),
    role: fc.constant(role),
    life: fc.constant(1),
    number: fc.constantFrom(1, 2, 3, 4, 5),
    epoch: role === 'primary' ? fc.constantFrom(1, 3) : fc.constantFrom(2, 4),
  });
  const said = fc.oneof(
    { weight: 8, arbitrary: commands },
    { weight: codec === stockCodec ? 0 : 8, arbitrary: grants },
    { weight: codec === stockCodec ? 20 : 1, arbitrary: digits },
  );
  // Most of what is said comes where it belongs, or nothing would ever come of it.
  const inPlace = said.map((command) => ({
    kind: 'message' as const,
    port: placeOf(command),
    from: 'a',
    frames: framesOf(codec, command),
  }));
  const anywhere = fc.record({
    kind: kind('message'),
    port: ports,
    from: peers,
    frames: fc.oneof(
      said.map((command) => framesOf(codec, command)),
      garbage,
    ),
  });
  const message = fc.oneof({ weight: 8, arbitrary: inPlace }, { weight: 1, arbitrary: anywhere });
  return fc.oneof(
    { weight: 14, arbitrary: message },
    { weight: 6, arbitrary: fc.record({ kind: kind('call'), call: calls }) },
    {
      weight: 8,
      arbitrary: fc.record({
        kind: kind('stored'),
        token: fc.integer({ min: 1, max: 6 }),
        failed: fc.constantFrom(false, false, false, true),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: kind('peerGone'), port: ports, from: peers }) },
    { weight: 1, arbitrary: fc.record({ kind: kind('writable'), port: ports, to: peers }) },
  );
}

type PairSubject = LawSubject<PairPort, PairInput, PairOutput, PairCall, PairEvent, PairMachine>;

function subjectOf(settings: Partial<PairSettings>, seen: Set<string>): PairSubject {
  const codec = settings.protocol === 'stock' ? stockCodec : pairCodec;
  const complete = { ...storySettings, heartbeatInterval: 20, lease: 200, ...settings };
  // Its life is stored at once, mostly, or most plans would come to nothing.
  const alive = { after: 0, input: { kind: 'stored', token: 1, failed: false } } as const;
  const steps = lawSteps(inputsOf(codec, complete.role)).map((given) => [alive, ...given]);
  return {
    build: (outbox) => {
      const emit = (event: PairEvent): void => {
        seen.add(event.type);
        outbox.emit(event);
      };
      return new PairMachine({ ...outbox, emit }, complete, undefined);
    },
    codec,
    steps,
    ending: [{ type: 'drain' }],
    bounds: ({ state }) => [
      { name: 'claims that are outstanding', size: state.claims.outstanding.length, limit: 16 },
    ],
    ledger: {
      asked: (input) =>
        input.kind === 'call' && /^(?:drain|stop)$/.test(input.call.type) ? 'drain' : undefined,
      ended: (effect) =>
        effect.kind === 'event' && effect.event.type === 'drained' ? 'drain' : undefined,
    },
  };
}

const COMMON = [
  'activeChanged',
  'becameActive',
  'becamePassive',
  'drained',
  'epochImplausible',
  'ignored',
  'malformed',
  'peerFound',
  'peerLost',
  'servesAlone',
  'storeFailed',
  'takeoverFailed',
  'wasStopped',
];

describe('the five laws hold, and all that it may tell is told', () => {
  test.each<[mode: string, settings: Partial<PairSettings>, events: readonly string[]]>([
    ['votes', {}, ['takeoverBegun']],
    ['votes of a backup', { role: 'backup' }, ['takeoverBegun']],
    ['a witness', { witness: 'tcp://w:1' }, ['witnessFound', 'witnessLost']],
    [
      'a witness of a backup',
      { role: 'backup', witness: 'tcp://w:1' },
      ['witnessFound', 'witnessLost'],
    ],
    ['a stock peer', { protocol: 'stock' }, ['takeoverBegun']],
    ['a stock peer of a backup', { role: 'backup', protocol: 'stock' }, ['takeoverBegun']],
  ])('with %s', (_mode, settings, events) => {
    const seen = new Set<string>();
    expect(checkLaws(subjectOf(settings, seen), RUNS)).toBeUndefined();
    expect([...seen].toSorted()).toEqual([...COMMON, ...events].toSorted());
  });
});

describe('a machine that goes on from a copy of the state', () => {
  test('does what the first one does', () => {
    const steps = lawSteps(inputsOf(pairCodec, 'primary'), 30);
    const settings = { ...storySettings, witness: 'tcp://w:1', heartbeatInterval: 20, lease: 200 };
    fc.assert(
      fc.property(steps, fc.nat(29), (plan, cut) => {
        const lines: string[] = [];
        const outbox = {
          open: () => {},
          close: () => {},
          send: (port: PairPort, to: string, command: PairOutput) => {
            lines.push(`${port} ${to} ${JSON.stringify(command)}`);
            return true;
          },
          store: (token: number, batch: unknown) => {
            lines.push(`store ${token} ${JSON.stringify(batch)}`);
          },
          emit: (event: PairEvent) => void lines.push(JSON.stringify(event)),
        };
        let now = 1000;
        let first = new PairMachine(outbox, settings, undefined);
        let other = new PairMachine(outbox, settings, undefined);
        const run = (machine: PairMachine, input: LawInput<PairPort, PairCall>): string[] => {
          if (machine.nextTimeout <= now) machine.handleTimeout(now);
          if (input.kind === 'call') machine.handleCall(now, input.call);
          else if (input.kind === 'stored') machine.handleStored(now, input.token);
          else if (input.kind === 'message') {
            pairCodec.decode(input.port, input.frames, (command) =>
              machine.handleCommand(now, input.port, input.from, command),
            );
          }
          return [...lines.splice(0), machine.fingerprint(now)];
        };
        for (const [index, { after, input }] of plan.entries()) {
          now += after;
          if (index === cut) {
            const copy = structuredClone(first.state);
            other = new PairMachine(outbox, settings, undefined, copy);
          }
          expect(run(other, input)).toEqual(run(first, input));
        }
        first = other;
      }),
      { seed: 7, numRuns: 200 },
    );
  });
});

// The witness

const PAIR_LIMIT = 2;

type WitnessSubject = LawSubject<
  WitnessPort,
  VoterInput,
  VoterOutput,
  WitnessCall,
  WitnessEvent,
  WitnessMachine
>;

const witnessInputs: fc.Arbitrary<LawInput<WitnessPort, WitnessCall>> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({
      kind: kind('message'),
      port: kind('claims'),
      from: peers,
      frames: fc.oneof(
        {
          weight: 12,
          arbitrary: fc
            .tuple(commands, fc.constantFrom('a', 'b', 'c'))
            .map(([command, pair]) => framesOf(pairCodec, { ...command, pair } as PairInput)),
        },
        { weight: 1, arbitrary: garbage },
      ),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: kind('stored'),
      token: fc.integer({ min: 1, max: 8 }),
      failed: fc.constantFrom(false, false, false, true),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: kind('peerGone'), port: kind('claims'), from: peers }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: kind('call'),
      call: fc.constantFrom<WitnessCall[]>({ type: 'drain' }, { type: 'stop' }),
    }),
  },
);

test('a witness keeps the five laws, and tells all that it may tell', () => {
  const seen = new Set<string>();
  const record = { pair: 'a', epoch: 2, role: 'backup', alone: true, lease: 200 } as const;
  const subject: WitnessSubject = {
    build: (outbox) => {
      const emit = (event: WitnessEvent): void => {
        seen.add(event.type);
        outbox.emit(event);
      };
      return new WitnessMachine({ ...outbox, emit }, { pairLimit: PAIR_LIMIT }, [record]);
    },
    codec: witnessCodec,
    steps: lawSteps(witnessInputs),
    ending: [{ type: 'stop' }],
    bounds: (machine) => [{ name: 'pairs', size: machine.pairs, limit: PAIR_LIMIT }],
    ledger: {
      asked: (input) => (input.kind === 'call' ? 'drain' : undefined),
      ended: (effect) =>
        effect.kind === 'event' && effect.event.type === 'drained' ? 'drain' : undefined,
    },
  };
  expect(checkLaws(subject, RUNS)).toBeUndefined();
  expect([...seen].toSorted()).toEqual([
    'drained',
    'granted',
    'ignored',
    'leaseEnded',
    'malformed',
    'pairRefused',
    'refused',
    'released',
    'storeFailed',
  ]);
});
