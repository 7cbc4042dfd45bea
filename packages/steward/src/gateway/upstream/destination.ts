/** Where a proxied request goes: the upstream of its route, its canary, or one worked out from variables; and its cookies. */
import { parseAddress } from '../../config/address.ts';
import { plainBalance, plainServer } from '../../config/model.ts';
import type { Exchange } from '../exchange.ts';
import { expand } from '../rules/variables.ts';
import type { PickRequest, Server } from './balance.ts';
import { canaryCookie, canarySide } from './canary.ts';
import type { CompiledProxy } from './proxy-action.ts';
import { readCookie, stickyCookie } from './sticky.ts';
import type { Destination, Upstreams } from './upstreams.ts';

/** Where `action` sends this request; undefined when its variables give no address. */
export function destinationOf(exchange: Exchange, action: CompiledProxy, upstreams: Upstreams): Destination | undefined {
  const { target, canary } = action.entry;
  if (target.kind === 'text') return destinationFrom(expand(action.target, exchange), action.entry.scheme, upstreams);
  if (canary === undefined) return upstreams.destination(target);
  const said = readCookie(exchange.header('cookie'), canary.cookie);
  const side = canarySide(canary, said, Math.random());
  const found = upstreams.destination(side === 'canary' ? canary.target : target);
  return found === undefined || said === side ? found : { ...found, cookie: canaryCookie(canary, side, exchange.scheme === 'https') };
}

/** `scheme://`, then an address (a unix socket ends at a colon), then what is asked for there. */
const urlForm = /^(https?):\/\/(unix:[^:]*|[^/?]*):?(?=[/?]|$)([\s\S]*)$/i;

/** Where a text worked out for a request leads: it may be a whole URL. */
function destinationFrom(text: string, scheme: 'http' | 'https', upstreams: Upstreams): Destination | undefined {
  const url = urlForm.exec(text);
  if (url === null) return workedOut(text, scheme, upstreams);
  const [, said = scheme, address = '', path = ''] = url;
  const own = said.toLowerCase() === 'https' ? 'https' : 'http';
  const found = workedOut(address, own, upstreams);
  return found === undefined ? undefined : { ...found, scheme: own, path };
}

/** The upstream of that name, or one made for an address: `host:port`, `host` or `unix:/path`. */
function workedOut(text: string, scheme: 'http' | 'https', upstreams: Upstreams): Destination | undefined {
  const declared =
    upstreams.destination({ kind: 'upstream', name: `servers:${text}`, proxyHost: text }) ??
    upstreams.destination({ kind: 'upstream', name: `service:${text}`, proxyHost: text });
  if (declared !== undefined) return declared;
  const address = parseAddress(text) ?? parseAddress(`${text}:${scheme === 'https' ? 443 : 80}`);
  if (address === undefined) return undefined;
  const usual = scheme === 'https' ? /:443$/ : /:80$/;
  const proxyHost = address.kind === 'unix' ? 'localhost' : text.replace(usual, '');
  return upstreams.made(text, proxyHost, { ...plainBalance, service: false, servers: [{ ...plainServer, address }] });
}

const asking: PickRequest = { key: undefined, address: '', sticky: undefined };

/** What the choice of a server may depend on. One object for all requests: a choice is made at once. */
export function clientOf(exchange: Exchange, { entry, hashKey }: Destination): PickRequest {
  asking.key = hashKey === undefined ? undefined : expand(hashKey, exchange);
  asking.address = exchange.remoteAddress;
  asking.sticky = entry.sticky === undefined ? undefined : readCookie(exchange.header('cookie'), entry.sticky.cookie);
  return asking;
}

/** Set-Cookie headers that bring the client back to where it was answered. */
export function cookiesFor(exchange: Exchange, { entry, cookie }: Destination, server: Server | undefined): string[] {
  const cookies = cookie === undefined ? [] : [cookie];
  const { sticky } = entry;
  if (sticky === undefined || server === undefined) return cookies;
  const said = readCookie(exchange.header('cookie'), sticky.cookie);
  return said === server.cookieValue ? cookies : [...cookies, stickyCookie(sticky, server.cookieValue)];
}
