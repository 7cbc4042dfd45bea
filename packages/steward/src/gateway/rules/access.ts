/**
 * Who may have what a route answers: addresses, names and passwords, a request that decides; all of them or one of them
 * (https://nginx.org/en/docs/http/ngx_http_core_module.html#satisfy). In nginx's order:
 *
 *   addresses ──► password ──► request within ('ask', carried out by the caller) ──► allowed or refused
 */
import { type AddressRange, isInRange, parseIp, parseRange } from '../../config/address-range.ts';
import type { AccessSpec } from '../../config/model.ts';
import type { PasswordAnswer, PasswordCheck } from './password-check.ts';
import { compileTemplate, expand, type Scope, type Template, type VariableSource, variablesOf } from './variables.ts';

export interface CompiledAccess {
  readonly satisfy: 'all' | 'any';
  readonly rules: readonly { readonly allow: boolean; readonly range: AddressRange }[];
  readonly basic: { readonly realm: Template; readonly users: Template } | undefined;
  readonly ask: { readonly uri: Template; readonly set: readonly { readonly slot: number; readonly value: Template }[] } | undefined;
}

/** `headers` is flat: name, value. */
export interface Refusal {
  readonly kind: 'refused';
  readonly status: 401 | 403 | 500 | 503;
  readonly headers: readonly string[];
}

export type AccessOutcome =
  | { readonly kind: 'allowed' }
  | Refusal
  /** A request to `uri` decides; `before` is what stands when it refuses too. To be told to `accessAfterAsking`. */
  | { readonly kind: 'ask'; readonly uri: string; readonly before: Refusal | undefined };

/** What a way of letting in says: yes, nothing, or no. */
type Verdict = 'yes' | 'silent' | Refusal;

const allowed: AccessOutcome = { kind: 'allowed' };
const forbidden: Refusal = { kind: 'refused', status: 403, headers: [] };
const failed: Refusal = { kind: 'refused', status: 500, headers: [] };
const busy: Refusal = { kind: 'refused', status: 503, headers: ['retry-after', '1'] };

/** Ready for requests; undefined when everybody is let in. Addresses are those that the configuration has checked. */
export function compileAccess({ satisfy, rules, basic, request }: AccessSpec, scope: Scope): CompiledAccess | undefined {
  if (rules.length === 0 && basic === undefined && request === undefined) return undefined;
  return {
    satisfy,
    rules: rules.map(({ allow, who }) => ({ allow, range: parseRange(who) })).filter(isParsed),
    basic: basic === undefined ? undefined : { realm: compileTemplate(basic.realm, scope), users: compileTemplate(basic.users, scope) },
    ask:
      request === undefined
        ? undefined
        : {
            uri: compileTemplate(request.uri, scope),
            set: Object.entries(request.set).flatMap(([name, text]) => {
              const slot = scope.slots.get(name.toLowerCase());
              return slot === undefined ? [] : [{ slot, value: compileTemplate(text, scope) }];
            }),
          },
  };
}

const isParsed = (rule: { allow: boolean; range: AddressRange | undefined }): rule is { allow: boolean; range: AddressRange } =>
  rule.range !== undefined;

/** Whether `request` may be answered: at once, or after a slow password. Never throws. */
export function checkAccess(
  access: CompiledAccess,
  request: VariableSource,
  passwords: PasswordCheck,
): AccessOutcome | Promise<AccessOutcome> {
  const byAddress = verdictOfAddress(access.rules, request.remoteAddress);
  if (access.satisfy === 'any' ? byAddress === 'yes' : typeof byAddress === 'object') return outcomeOf(byAddress);
  const refusal = typeof byAddress === 'object' ? byAddress : undefined;
  if (access.basic === undefined) return askOr(access, request, refusal);
  const realm = expand(access.basic.realm, request);
  if (realm === 'off') return askOr(access, request, refusal);
  const answer = checkPassword(expand(access.basic.users, request), request.header('authorization'), passwords);
  if (typeof answer === 'string') return afterPassword(access, request, refusal, answer, realm);
  return answer.then((late) => afterPassword(access, request, refusal, late, realm));
}

const outcomeOf = (verdict: Verdict): AccessOutcome => (typeof verdict === 'object' ? verdict : allowed);

function verdictOfAddress(rules: CompiledAccess['rules'], address: string): Verdict {
  if (rules.length === 0) return 'silent';
  const ip = parseIp(address) ?? address;
  for (const { allow, range } of rules) if (isInRange(range, ip)) return allow ? 'yes' : forbidden;
  return 'silent';
}

function checkPassword(file: string, header: string, passwords: PasswordCheck): PasswordAnswer | Promise<PasswordAnswer> {
  const given = parseBasic(header);
  return given === undefined ? 'wrong' : passwords.check(file, given.name, given.password);
}

function afterPassword(
  access: CompiledAccess,
  request: VariableSource,
  before: Refusal | undefined,
  answer: PasswordAnswer,
  realm: string,
): AccessOutcome {
  if (answer === 'right') return access.satisfy === 'any' ? allowed : askOr(access, request, before);
  if (answer === 'busy') return busy;
  if (answer === 'unreadable') return failed;
  const refusal = answer === 'no-file' ? forbidden : unauthorized(realm);
  return access.satisfy === 'any' ? askOr(access, request, worse(before, refusal)) : refusal;
}

const unauthorized = (realm: string): Refusal => ({
  kind: 'refused',
  status: 401,
  headers: ['www-authenticate', `Basic realm="${realm.replaceAll(/["\\]/g, '\\$&')}"`],
});

/** Of two refusals where one yes would have been enough: the one that asks for a name and password. */
const worse = (before: Refusal | undefined, now: Refusal): Refusal => (before?.status === 401 ? before : now);

function askOr({ ask }: CompiledAccess, request: VariableSource, before: Refusal | undefined): AccessOutcome {
  if (ask !== undefined) return { kind: 'ask', uri: expand(ask.uri, request), before };
  return before ?? allowed;
}

/**
 * What the answer to the request within says, after its variables are set; `request` must then give that answer's headers
 * as `upstreamHeader`. 2xx lets in, 401 (with its WWW-Authenticate) and 403 do not, anything else is a failure: 500.
 */
export function accessAfterAsking(
  access: CompiledAccess,
  request: VariableSource,
  before: Refusal | undefined,
  status: number,
  challenges: readonly string[],
): AccessOutcome {
  for (const { slot, value } of access.ask?.set ?? []) variablesOf(request).values[slot] = expand(value, request);
  if (status >= 200 && status < 300) return access.satisfy === 'any' ? allowed : (before ?? allowed);
  if (status !== 401 && status !== 403) return failed;
  const refusal: Refusal =
    status === 403 ? forbidden : { kind: 'refused', status, headers: challenges.flatMap((challenge) => ['www-authenticate', challenge]) };
  return access.satisfy === 'any' ? worse(before, refusal) : refusal;
}

/** Name and password of an Authorization header (RFC 7617); undefined when it holds none. */
export function parseBasic(header: string): { readonly name: string; readonly password: string } | undefined {
  if (header.slice(0, 6).toLowerCase() !== 'basic ') return undefined;
  const text = Buffer.from(header.slice(6).trim(), 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 1 ? undefined : { name: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** What decides for requests of `method` at a route: nginx's limit_except, where GET stands for HEAD too. */
export function accessFor(
  route: {
    readonly access: CompiledAccess | undefined;
    readonly accessExcept: { readonly methods: ReadonlySet<string>; readonly access: CompiledAccess | undefined } | undefined;
  },
  method: string,
): CompiledAccess | undefined {
  return route.accessExcept === undefined || route.accessExcept.methods.has(method) ? route.access : route.accessExcept.access;
}
