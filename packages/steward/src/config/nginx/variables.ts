/** Variables in texts: what nginx can read, and which of them the gateway knows. */
import type { Position } from '../problem.ts';
import { isBuiltInVariable } from '../variable-names.ts';
import type { Scene } from './scene.ts';

/** Whether a text holds a `$name`, `${name}` or `$1`. */
export const hasVariable = (text: string): boolean => /\$[\w{]/.test(text);

/** What nginx cannot read in a text, as advice; undefined when it can. */
export function textError(text: string): string | undefined {
  if (/\$\{(?!\w+\})/.test(text)) return 'Write ${name}.';
  return /\$(?![\w{])/.test(text) ? 'A $ begins a variable: write its name behind it.' : undefined;
}

/** Variables of nginx that Steward has nothing for; they come out empty. */
const unavailable =
  /^(ancient_browser|modern_browser|msie|connections_(active|reading|writing|waiting)|connection_time|date_(gmt|local)|geoip\w*|gzip_ratio|http[23]|invalid_referer|jwt_\w+|limit_(conn|req)_status|memcached_key|fastcgi_\w+|proxy_internal_\w+|proxy_protocol_(server_(addr|port)|tlv_\w+)|secure_link(_expires)?|sent_trailer_\w+|session_log_\w+|slice_range|spdy\w*|ssl_\w+|tcpinfo_\w+|uid_\w+|upstream_(bytes_(received|sent)|cache_\w+|last_\w+|queue_time|trailer_\w+)|date_\w+|quic|time_\w+)$/;

export interface Use {
  readonly at: Position;
  /** The directive, for messages. */
  readonly where: string;
  /** It decides who gets in or what is served: a variable that comes out empty stops the import. */
  readonly decides?: boolean;
  /** Variables whose value is known already. */
  readonly fixed?: Readonly<Record<string, string>>;
}

function report(scene: Scene, name: string, { at, where, decides }: Use): void {
  const source = scene.foreign.get(name);
  const isNginx = source !== undefined || unavailable.test(name);
  const hint =
    source === undefined ? 'See docs/config.md for the variables there are.' : `${source}, which gives it a value, is not taken over.`;
  if (!isNginx) scene.error('config/nginx-variable', `${where}: there is no variable $${name}`, at, 'Set it, or correct its name.');
  else if (decides) scene.error('config/nginx-variable', `${where}: $${name} is not known to Steward, and decides here`, at, hint);
  else scene.warning('config/nginx-variable', `${where}: $${name} is not known to Steward; it comes out empty`, at, hint);
}

/** The parts of a text: `$1` has one digit, any other name runs on as far as it can. */
const variable = /\$(?:([1-9])|\{(\w+)\}|(\w+))/g;

/** A text as the gateway reads it: names in lowercase, unknown ones reported and left out. */
export function resolveText(scene: Scene, text: string, use: Use): string {
  let out = '';
  let open = '';
  const add = (part: string): void => {
    if (part === '') return;
    // A name that the next part would run into needs its braces.
    out += open === '' ? part : `${/^\w/.test(part) ? `\${${open}}` : `$${open}`}${part}`;
    open = '';
  };
  let end = 0;
  for (const match of text.matchAll(variable)) {
    const [whole, group, braced, plain] = match;
    add(text.slice(end, match.index));
    end = match.index + whole.length;
    const name = (group ?? braced ?? plain ?? '').toLowerCase();
    const fixed = use.fixed !== undefined && Object.hasOwn(use.fixed, name) ? use.fixed[name] : undefined;
    if (group === undefined && fixed === undefined) scene.used.add(name);
    if (fixed !== undefined) add(fixed);
    else if (group === undefined && !isBuiltInVariable(name) && !scene.defined.has(name)) report(scene, name, use);
    else {
      if (open !== '') out += `$${open}`;
      open = name;
    }
  }
  add(text.slice(end));
  return open === '' ? out : `${out}$${open}`;
}
