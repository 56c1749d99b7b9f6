/**
 * What a pair and its witness find in their stores again: checked, as an epoch that was forgotten or made
 * up would let two servers use the same one.
 */
import { EPOCH_LIMIT, type Epoch } from '../core/election.ts';
import type { Role } from './commands.ts';
import type { PairRecord, WitnessRecord } from './failover-events.ts';
import { isPairName, LEASE_LIMIT } from './options.ts';

/** Why a record is not believed: it is damaged, or it is another one's. */
export interface RecordFault {
  readonly kind: 'damaged' | 'foreign';
  readonly reason: string;
}

/** What a server of a pair wrote last; undefined if it never did. */
export function pairRecordOf(
  read: unknown,
  pair: string,
  role: Role,
): PairRecord | RecordFault | undefined {
  if (read === undefined) return undefined;
  if (!isRecord(read)) return damaged('what is in it is no record of a pair');
  const { version, life, epoch, peerServed = 0 } = read;
  if (version !== 1) return foreign('what is in it is no record of a pair that is known here');
  if (read['pair'] !== pair) return foreign(`it is of the pair '${String(read['pair'])}'`);
  if (read['role'] !== role) return foreign(`it is of the ${String(read['role'])}`);
  if (!isCount(life) || !isEpoch(epoch) || !isEpoch(peerServed)) {
    return damaged('its numbers are out of range');
  }
  return { version, pair, role, life, epoch, peerServed };
}

/** What a witness wrote last. */
export function witnessRecordsOf(read: unknown): readonly WitnessRecord[] | RecordFault {
  if (read === undefined) return [];
  if (!isRecord(read) || !Array.isArray(read['records'])) {
    return foreign('what is in it is no record of a witness');
  }
  const records: readonly unknown[] = read['records'];
  return records.every(isWitnessRecord) ? records : damaged('one of its records is out of range');
}

export function isFault(value: object | undefined): value is RecordFault {
  return value !== undefined && 'kind' in value;
}

function damaged(reason: string): RecordFault {
  return { kind: 'damaged', reason };
}

function foreign(reason: string): RecordFault {
  return { kind: 'foreign', reason };
}

function isWitnessRecord(value: unknown): value is WitnessRecord {
  if (!isRecord(value)) return false;
  const { pair, epoch, role, alone, lease } = value;
  return (
    isPairName(pair) &&
    isEpoch(epoch) &&
    (role === 'primary' || role === 'backup') &&
    typeof alone === 'boolean' &&
    typeof lease === 'number' &&
    lease >= 0 &&
    lease <= LEASE_LIMIT
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isEpoch(value: unknown): value is Epoch {
  return isCount(value) && value <= EPOCH_LIMIT;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
