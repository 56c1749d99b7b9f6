/**
 * 8/MMI: the broker answers requests for services under `mmi.` itself.
 *
 * `mmi.service` with a service name gives 200 or 404. Two are ours: `mmi.services` gives the services
 * as JSON, and `mmi.express`, asked with the versions of express that the peer speaks, the one to use.
 * Anything else gives 501.
 */
import { decodeStrictText, encodeText } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import type { ServiceStatus } from '../broker/broker-events.ts';

/** Names that no worker may offer. */
export const RESERVED_PREFIX = 'mmi.';

export const SERVICE_QUERY = 'mmi.service';
export const SERVICES_QUERY = 'mmi.services';
export const EXPRESS_QUERY = 'mmi.express';

/** The one version of express there is so far, as it is asked for and answered. */
export const EXPRESS_VERSION = '1';

/** What MMI may look at. */
export interface MmiView {
  offers(service: string): boolean;
  services(): readonly ServiceStatus[];
}

export function isReserved(service: string): boolean {
  return service.startsWith(RESERVED_PREFIX);
}

/** The body of the answer. */
export function answerMmi(service: string, body: Frames, view: MmiView): Frames {
  switch (service) {
    case SERVICE_QUERY:
      return [encodeText(view.offers(decodeStrictText(body[0]!) ?? '') ? '200' : '404')];
    case SERVICES_QUERY:
      return [encodeText('200'), encodeText(JSON.stringify(view.services()))];
    case EXPRESS_QUERY: {
      const versions = (decodeStrictText(body[0]!) ?? '').split(',');
      if (!versions.includes(EXPRESS_VERSION)) return [encodeText('501')];
      return [encodeText('200'), encodeText(EXPRESS_VERSION)];
    }
    default:
      return [encodeText('501')];
  }
}
