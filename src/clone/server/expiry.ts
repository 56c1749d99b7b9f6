/**
 * When keys run out of time, at the server that is active, and at no other: what it then does is an
 * ordinary delete, which the others are told as any update.
 */
import { Deadlines } from '../../core/deadlines.ts';
import type { Instant } from '../../core/machine.ts';
import type { Entries, Entry } from './entries.ts';

export class Expiry {
  readonly #entries: Entries;
  readonly #deadlines = new Deadlines<Entry>();
  #isActive = false;

  constructor(entries: Entries) {
    this.#entries = entries;
  }

  /** `Infinity` while passive. */
  get nextDue(): Instant {
    return this.#deadlines.next;
  }

  /** Plain data, for the fingerprint: the rest follows from the map. */
  get state(): object {
    return [this.#isActive, this.#deadlines.size];
  }

  /** This key was set, or its time counts again. */
  set(entry: Entry): void {
    if (this.#isActive) this.#deadlines.set(entry, entry.expiresAt);
  }

  deleted(entry: Entry): void {
    this.#deadlines.delete(entry);
  }

  /** The map is another one. */
  replaced(): void {
    this.#clear();
    if (this.#isActive) for (const entry of this.#entries) this.set(entry);
  }

  /** It is for this server to delete what has run out of time. */
  begin(now: Instant): void {
    this.#isActive = true;
    for (const entry of this.#entries) {
      // A wall clock that was set back lets nothing last longer than was asked for.
      if (entry.ttl !== undefined) entry.expiresAt = Math.min(entry.expiresAt, now + entry.ttl);
      this.set(entry);
    }
  }

  /** It is for another one. */
  end(): void {
    this.#isActive = false;
    this.#clear();
  }

  /** One whose time is over; it is not named again until it is `set`. */
  takeDue(now: Instant): Entry | undefined {
    return this.#deadlines.takeDue(now);
  }

  #clear(): void {
    while (this.#deadlines.takeDue(Infinity) !== undefined);
  }
}
