/**
 * Keys and subtrees: a key is a path, a subtree is the part of the map under one.
 *
 *   key      /a/b/c    begins with a slash, does not end with one, no empty segment, no control characters
 *   subtree  ''        everything
 *            /a/b/     what is under it
 *            /a/b/c    this one key
 *
 * As each key begins with a slash, none is taken for a word of the protocol (`HUGZ`, `KTHXBAI`).
 */

/** Bytes of a key or subtree in UTF-8, at most: so that it fits into the key of a stored record. */
export const KEY_LIMIT = 255;

const KEY = /^(?:\/[^/\p{Cc}\p{Cs}]+)+$/u;
const SUBTREE = /^(?:\/[^/\p{Cc}\p{Cs}]+)*\/$/u;

/** True for a path of 1 to 255 bytes that can be a key. */
export function isKey(text: string): boolean {
  return isShort(text) && KEY.test(text);
}

/** True for what can be followed: everything, what is under a path, or one key. */
export function isSubtree(text: string): boolean {
  return text === '' || (isShort(text) && (SUBTREE.test(text) || KEY.test(text)));
}

/** True if `key` is in `subtree`. */
export function isUnder(subtree: string, key: string): boolean {
  return subtree === '' || (subtree.endsWith('/') ? key.startsWith(subtree) : key === subtree);
}

/** True if clearing one of two subtrees can change the other: one is a part of the other. */
export function overlap(one: string, other: string): boolean {
  return isUnder(one, other) || isUnder(other, one) || one === other;
}

/** Calls back with each subtree that `key` is in, from everything down to the key alone. */
export function forEachSubtree(key: string, visit: (subtree: string) => void): void {
  visit('');
  for (let slash = 0; slash >= 0; slash = key.indexOf('/', slash + 1)) {
    visit(key.slice(0, slash + 1));
  }
  visit(key);
}

function isShort(text: string): boolean {
  // A character has one to three bytes for each of its units.
  if (text.length * 3 <= KEY_LIMIT) return true;
  return text.length <= KEY_LIMIT && new TextEncoder().encode(text).length <= KEY_LIMIT;
}
