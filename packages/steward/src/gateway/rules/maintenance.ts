/** A site that is being worked on: everybody but those who do gets a page and 503. */
import { type AddressRange, isInRange, parseIp } from '../../config/address-range.ts';
import { pageFor } from '../pages.ts';
import type { VariableSource } from './variables.ts';

export interface CompiledMaintenance {
  readonly allow: readonly AddressRange[];
  readonly retryAfterSeconds: number;
  /** HTML; undefined sends the built-in page. */
  readonly page: string | undefined;
}

export interface MaintenanceAnswer {
  readonly retryAfter: string;
  readonly contentType: string;
  readonly body: string;
}

/** What a client gets while a site is closed; undefined for those who are let in. */
export function maintenanceAnswer(maintenance: CompiledMaintenance, source: VariableSource): MaintenanceAnswer | undefined {
  const ip = parseIp(source.remoteAddress) ?? source.remoteAddress;
  if (maintenance.allow.some((range) => isInRange(range, ip))) return undefined;
  const retryAfter = String(maintenance.retryAfterSeconds);
  if (maintenance.page !== undefined) return { retryAfter, contentType: 'text/html; charset=utf-8', body: maintenance.page };
  return { retryAfter, ...pageFor(503, source.header('accept')) };
}
