/**
 * Large messages: what comes behind one waits until it has passed, heartbeats too.
 *
 * So it is announced ahead of it, and whoever hears the announcement is patient for as long as a slow
 * link takes. A body of 100 MB must not expire the peer that sends it.
 */
import { byteLength } from '../../core/frames.ts';
import type { Heartbeat } from '../../core/heartbeat.ts';
import type { Frames, Instant } from '../../core/machine.ts';

/** Bodies from this size on are announced, in bytes. */
const ANNOUNCED_SIZE = 1024 * 1024;

/** What the slowest link worth waiting for carries, in bytes a millisecond: 1 MiB/s. */
const SLOWEST = (1024 * 1024) / 1000;

/** Announcements buy no more patience than this, in milliseconds: they may be lies. */
const LONGEST_PATIENCE = 10 * 60_000;

/** The bytes to announce ahead of this body, or undefined if it is not large. */
export function announcedBytes(body: Frames): number | undefined {
  if (body.length === 1 && body[0]!.byteLength < ANNOUNCED_SIZE) return undefined;
  const bytes = byteLength(body);
  return bytes < ANNOUNCED_SIZE ? undefined : bytes;
}

/** The peer announced so many bytes: its silence means nothing while they may be on their way. */
export function expectLarge(heartbeat: Heartbeat, now: Instant, bytes: number): void {
  heartbeat.expiresAt = patientUntil(heartbeat.expiresAt, now, bytes);
}

/** Until when to wait instead of `until`, as so many bytes may be on their way. */
export function patientUntil(until: Instant, now: Instant, bytes: number): Instant {
  return Math.max(until, Math.min(until + bytes / SLOWEST, now + LONGEST_PATIENCE));
}
