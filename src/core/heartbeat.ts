/**
 * Heartbeats of one link: when to send the next, and when the other side counts as lost.
 *
 * Expiry is interval × liveness since the last sign of life. Whatever arrives from the peer is a
 * sign of life; only time decides that it is gone.
 */
import type { Instant } from './machine.ts';

export interface HeartbeatSettings {
  /** Milliseconds between two heartbeats. */
  readonly heartbeatInterval: number;
  /** How many intervals of silence make a peer lost. */
  readonly heartbeatLiveness: number;
}

/** Plain data: part of a machine's state. */
export interface Heartbeat {
  /** When the next heartbeat is to be sent. */
  beatAt: Instant;
  /** When the peer is lost unless it is heard before. */
  expiresAt: Instant;
}

/** Interval × liveness: how long a peer may be silent, in milliseconds. */
export function expiryOf(settings: HeartbeatSettings): number {
  return settings.heartbeatInterval * settings.heartbeatLiveness;
}

/** What two sides agree on is never slower than this, or one could keep its session for ever. */
const SLOWEST: HeartbeatSettings = { heartbeatInterval: 600_000, heartbeatLiveness: 100 };

/**
 * What two sides agree on: the slower of both settings, so that neither gives the other up too soon,
 * up to an interval of ten minutes and a liveness of 100.
 */
export function slowerOf(one: HeartbeatSettings, other: HeartbeatSettings): HeartbeatSettings {
  const slower = (name: keyof HeartbeatSettings): number =>
    Math.min(SLOWEST[name], Math.max(one[name], other[name]));
  return {
    heartbeatInterval: slower('heartbeatInterval'),
    heartbeatLiveness: slower('heartbeatLiveness'),
  };
}

export function startHeartbeat(now: Instant, settings: HeartbeatSettings): Heartbeat {
  return { beatAt: now + settings.heartbeatInterval, expiresAt: now + expiryOf(settings) };
}

/** The peer gave a sign of life. */
export function heard(heartbeat: Heartbeat, now: Instant, settings: HeartbeatSettings): void {
  heartbeat.expiresAt = now + expiryOf(settings);
}

/** This side was stopped and could not hear: the peer gets at least one more interval. */
export function forgive(heartbeat: Heartbeat, now: Instant, settings: HeartbeatSettings): void {
  heartbeat.expiresAt = Math.max(heartbeat.expiresAt, now + settings.heartbeatInterval);
}

/** A heartbeat leaves now: schedules the next one from now, so that a late timer causes no burst. */
export function beaten(heartbeat: Heartbeat, now: Instant, settings: HeartbeatSettings): void {
  heartbeat.beatAt = now + settings.heartbeatInterval;
}

/** When something is due on this link. */
export function nextDue(heartbeat: Heartbeat): Instant {
  return Math.min(heartbeat.beatAt, heartbeat.expiresAt);
}
