// @ts-check
/** The requests of these demos: a number each, from which body, id and answer follow. */
import { createHash } from 'node:crypto';

/** @param {number} request */
export function idOf(request) {
  return request.toString(16).padStart(32, '0');
}

/** @param {string} id */
export function requestOf(id) {
  return Number.parseInt(id, 16);
}

/** @param {number} request */
export function bodyOf(request) {
  return `request ${request}`;
}

/**
 * The number back. @param {string} body
 */
export function numberIn(body) {
  return Number(body.slice('request '.length));
}

/** @param {string} body */
export function answerTo(body) {
  return createHash('sha256').update(body).digest('hex');
}
