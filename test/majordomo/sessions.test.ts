/** The deadlines of sessions: who beats, who expires, who waits. */
import { describe, expect, test } from 'vitest';
import type { PendingRequest } from '../../src/majordomo/broker/requests.ts';
import { RequestBook } from '../../src/majordomo/broker/requests.ts';
import {
  mayWork,
  SessionTable,
  type NewSession,
  type Session,
} from '../../src/majordomo/broker/sessions.ts';

const SETTINGS = { heartbeatInterval: 100, heartbeatLiveness: 3 };
const READY: NewSession = {
  dialect: 'mdp0.2',
  service: 'echo',
  id: undefined,
  worker: undefined,
  credit: 1,
  settings: SETTINGS,
};

function tableOf(...addresses: string[]): { table: SessionTable; sessions: Session[] } {
  const table = new SessionTable();
  return { table, sessions: addresses.map((address) => table.register(0, address, READY)) };
}

function anyRequest(): PendingRequest {
  const bounds = { queueLimit: 1, queueBytes: 1000, requestTtl: 1000, priorityAgeing: 1000 };
  return new RequestBook(bounds).accept(0, { waiter: undefined, service: 'echo', body: [] });
}

let dispatches = 0;

function keepBusy(table: SessionTable, session: Session, timeoutAt: number): void {
  const number = dispatches++;
  const request = anyRequest();
  const dispatch = { session, number, request, startedAt: 0, timeoutAt, sentAfter: 0, parts: 0 };
  session.running.set(number, dispatch);
  table.place(session);
  table.reschedule(session);
}

function settle(table: SessionTable, session: Session): void {
  session.running.clear();
  table.place(session);
}

describe('deadlines', () => {
  test('a silent session is beaten to each interval, and expires after interval × liveness', () => {
    const { table } = tableOf('worker');
    const due: [number, string][] = [];
    for (let now = table.nextDue; now <= 300; now = table.nextDue) {
      const taken = table.takeDue(now)!;
      due.push([now, taken.due]);
      if (taken.due !== 'beat') table.remove(taken.session);
    }
    expect(due).toEqual([
      [100, 'beat'],
      [200, 'beat'],
      [300, 'expired'],
    ]);
    expect(table.nextDue).toBe(Infinity);
  });

  test('nothing is due before its time', () => {
    const { table } = tableOf('worker');
    expect(table.takeDue(99)).toBeUndefined();
  });

  test('a sign of life moves the expiry, and takes a notice back', () => {
    const { table, sessions } = tableOf('worker');
    table.noticed(10, sessions[0]!, 30);
    expect(table.nextDue).toBe(40);
    table.heard(20, sessions[0]!);
    expect(table.nextDue).toBe(100);
    expect(sessions[0]!.heartbeat.expiresAt).toBe(320);
  });

  test('a notice ends a session after the grace, and a second one does not prolong it', () => {
    const { table, sessions } = tableOf('worker');
    table.noticed(10, sessions[0]!, 30);
    table.noticed(20, sessions[0]!, 30);
    expect(table.takeDue(40)).toEqual({ session: sessions[0], due: 'gone' });
  });

  test('a busy session is beaten to, expires, and has a deadline for its request', () => {
    const { table, sessions } = tableOf('beats', 'is late');
    const [beats, late] = sessions as [Session, Session];
    keepBusy(table, beats, 500);
    keepBusy(table, late, 150);
    expect(table.takeDue(100)).toEqual({ session: beats, due: 'beat' });
    expect(table.takeDue(100)).toEqual({ session: late, due: 'beat' });
    expect(table.takeDue(150)).toEqual({ session: late, due: 'attemptTimeout' });
    expect(table.takeDue(300)).toEqual({ session: beats, due: 'expired' });
  });

  test('forgiving gives all one more interval, and shortens nothing', () => {
    const { table, sessions } = tableOf('silent', 'heard');
    table.heard(290, sessions[1]!);
    table.forgive(1000);
    expect(sessions.map(({ heartbeat }) => heartbeat.expiresAt)).toEqual([1100, 1100]);
    table.heard(1000, sessions[1]!);
    table.forgive(1001);
    expect(sessions[1]!.heartbeat.expiresAt).toBe(1300);
  });
});

describe('the waiting line', () => {
  test('gives work to who has waited longest', () => {
    const { table, sessions } = tableOf('a', 'b', 'c');
    expect(table.nextIdle('echo')).toBe(sessions[0]);
    keepBusy(table, sessions[0]!, 500);
    settle(table, sessions[0]!);
    expect(table.nextIdle('echo')).toBe(sessions[1]);
  });

  test('holds neither who is busy nor whose queue is full', () => {
    const { table, sessions } = tableOf('busy', 'full');
    keepBusy(table, sessions[0]!, 500);
    sessions[1]!.writable = false;
    for (const session of sessions) table.place(session);
    expect(table.nextIdle('echo')).toBeUndefined();
  });

  test('keeps the place of who has done nothing since', () => {
    const { table, sessions } = tableOf('a', 'b');
    table.place(sessions[0]!);
    expect(table.nextIdle('echo')).toBe(sessions[0]);
  });

  test('holds neither whose link broke, nor who is stalled, nor who drains', () => {
    const { table, sessions } = tableOf('gone', 'stalled', 'draining');
    const [gone, stalled, draining] = sessions as [Session, Session, Session];
    table.noticed(0, gone, 30);
    stalled.condition = 'stalled';
    draining.credit = 0;
    for (const session of sessions) table.place(session);
    expect(sessions.map(mayWork)).toEqual([false, false, false]);
    expect(table.nextIdle('echo')).toBeUndefined();
    table.heard(10, gone);
    expect(table.nextIdle('echo')).toBe(gone);
  });

  test('of a service goes with its last session', () => {
    const { table, sessions } = tableOf('a', 'b');
    table.remove(sessions[0]!);
    expect(table.offers('echo')).toBe(true);
    expect(table.nextIdle('echo')).toBe(sessions[1]);
    table.remove(sessions[1]!);
    expect(table.offers('echo')).toBe(false);
    expect([table.size, table.nextDue]).toEqual([0, Infinity]);
  });
});

describe('a session of express', () => {
  const EXPRESS: NewSession = { ...READY, dialect: 'express', id: 'session', credit: 2 };

  test('takes as many as its credit, and has no deadline for them', () => {
    const table = new SessionTable();
    const session = table.register(0, 'worker', EXPRESS);
    keepBusy(table, session, 150);
    expect(table.nextIdle('echo')).toBe(session);
    keepBusy(table, session, 150);
    expect(table.nextIdle('echo')).toBeUndefined();
    expect(table.takeDue(100)).toEqual({ session, due: 'beat' });
    expect(table.nextDue).toBe(200);
  });

  test('goes on under another address', () => {
    const table = new SessionTable();
    const session = table.register(0, 'old', EXPRESS);
    table.noticed(10, session, 30);
    table.reattach(20, session, 'new');
    expect([table.of('old'), table.of('new'), table.size]).toEqual([undefined, session, 1]);
    expect(table.ofExpress('session')).toBe(session);
    expect([session.goneAt, session.heartbeat.expiresAt]).toEqual([Infinity, 320]);
    table.remove(session);
    expect([table.of('new'), table.ofExpress('session'), table.size]).toEqual([
      undefined,
      undefined,
      0,
    ]);
  });
});

test('removing a session does not touch its successor under the same address', () => {
  const { table, sessions } = tableOf('worker');
  table.remove(sessions[0]!);
  const successor = table.register(5, 'worker', READY);
  table.remove(sessions[0]!);
  expect(table.of('worker')).toBe(successor);
  expect(table.nextDue).toBe(105);
});
