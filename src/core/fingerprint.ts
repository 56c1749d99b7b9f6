/**
 * A hash of plain state, for determinism checks and exhaustive search.
 *
 * Numbers under a name that ends in `At` are instants and enter relative to `now`, so that the same
 * state reached at another time hashes the same. Maps, Sets and Fifos enter in their iteration order:
 * order is behaviour (who is served next).
 */
import { Fifo } from './fifo.ts';
import type { Instant } from './machine.ts';

const OFFSET = 0x811c9dc5;
const PRIME = 0x01000193;

/** Hashes objects, iterables, Maps, bytes and primitives; functions and symbols are refused. */
export function fingerprintOf(state: unknown, now: Instant): string {
  const hasher = new Hasher(now);
  hasher.add('', state);
  return hasher.digest();
}

class Hasher {
  readonly #now: Instant;
  readonly #seen = new Map<object, number>();
  #low = OFFSET;
  #high = OFFSET ^ 0x5bd1e995;

  constructor(now: Instant) {
    this.#now = now;
  }

  add(name: string, value: unknown): void {
    if (typeof value === 'number') this.#addNumber(name, value);
    else if (typeof value === 'object' && value !== null) this.#addObject(name, value);
    else if (typeof value === 'function' || typeof value === 'symbol') {
      throw new TypeError(`state must be plain data, but ${name} is a ${typeof value}`);
    } else {
      const text = String(value);
      // With its length, or a text could look like two.
      this.#text(`${typeof value}${text.length}:${text};`);
    }
  }

  digest(): string {
    return hex(this.#high) + hex(this.#low);
  }

  #addNumber(name: string, value: number): void {
    const shown = name.endsWith('At') && Number.isFinite(value) ? value - this.#now : value;
    // A millisecond's billionth: what is left of it is rounding in the subtraction.
    this.#text(`n:${Math.round(shown * 1e6) / 1e6};`);
  }

  #addObject(name: string, value: object): void {
    const seen = this.#seen.get(value);
    if (seen !== undefined) return this.#text(`ref:${seen};`);
    this.#seen.set(value, this.#seen.size);
    if (value instanceof Uint8Array) return this.#bytes(value);
    if (Array.isArray(value)) return this.#addAll('[', name, value);
    if (value instanceof Map || value instanceof Fifo) {
      this.#text('{');
      for (const [key, item] of value.entries()) {
        this.add('', key);
        this.add(name, item);
      }
      return this.#text('}');
    }
    // A Set, or a class of ours that shows what its private fields hold.
    if (isIterable(value)) return this.#addAll('<', name, value);
    this.#text('(');
    for (const [key, item] of Object.entries(value)) {
      this.#text(key);
      this.add(key, item);
    }
    return this.#text(')');
  }

  #addAll(opening: string, name: string, items: Iterable<unknown>): void {
    this.#text(opening);
    for (const item of items) this.add(name, item);
    this.#text(']');
  }

  #text(text: string): void {
    for (let index = 0; index < text.length; index++) this.#mix(text.charCodeAt(index));
  }

  #bytes(bytes: Uint8Array): void {
    this.#text(`b${bytes.length}:`);
    for (const byte of bytes) this.#mix(byte);
  }

  #mix(code: number): void {
    this.#low = Math.imul(this.#low ^ code, PRIME);
    this.#high = Math.imul(this.#high ^ (code + 0x9e37), PRIME) ^ (this.#low >>> 13);
  }
}

function isIterable(value: object): value is Iterable<unknown> {
  return Symbol.iterator in value;
}

function hex(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0');
}
