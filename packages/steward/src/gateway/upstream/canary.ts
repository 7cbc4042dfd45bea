/** Which clients a canary serves. Pure: chance comes in as a value. */
import type { CanarySpec } from '../../config/model.ts';

export type CanarySide = 'canary' | 'main';

/**
 * The side of a client: the one its cookie names, else `percent` of those without one go to the canary. At 0 and 100 percent
 * the cookie counts for nothing, so that a canary can be called off or made final. The cookie has to be set when it says
 * something else than the answer.
 * @param cookie value of the cookie `spec.cookie`
 * @param chance from 0 up to 1
 */
export function canarySide({ percent }: Pick<CanarySpec, 'percent'>, cookie: string | undefined, chance: number): CanarySide {
  if (percent <= 0) return 'main';
  if (percent >= 100) return 'canary';
  if (cookie === 'canary' || cookie === 'main') return cookie;
  return chance * 100 < percent ? 'canary' : 'main';
}

/** The Set-Cookie header that keeps a client on its side until its browser ends. */
export const canaryCookie = ({ cookie }: Pick<CanarySpec, 'cookie'>, side: CanarySide, secure: boolean): string =>
  `${cookie}=${side}; Path=/${secure ? '; Secure' : ''}; HttpOnly; SameSite=Lax`;
