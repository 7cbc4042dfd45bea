/** Texts of Apache with its `%{VARIABLES}`, in Steward's variables. Pure. */

const serverVariables: Readonly<Record<string, string>> = {
  REMOTE_ADDR: '$remote_addr',
  REMOTE_PORT: '$remote_port',
  REMOTE_USER: '$remote_user',
  REQUEST_SCHEME: '$scheme',
  REQUEST_METHOD: '$request_method',
  REQUEST_URI: '$uri',
  REQUEST_FILENAME: '$request_filename',
  SCRIPT_FILENAME: '$request_filename',
  DOCUMENT_ROOT: '$document_root',
  QUERY_STRING: '$args',
  SERVER_NAME: '$host',
  SERVER_PORT: '$server_port',
  SERVER_ADDR: '$server_addr',
  SERVER_PROTOCOL: '$server_protocol',
  THE_REQUEST: '$request',
  HTTPS: '$https',
  HTTP_HOST: '$http_host',
  HTTP_USER_AGENT: '$http_user_agent',
  HTTP_REFERER: '$http_referer',
  HTTP_COOKIE: '$http_cookie',
  HTTP_ACCEPT: '$http_accept',
  HTTP_FORWARDED: '$http_forwarded',
  SSL_PROTOCOL: '$ssl_protocol',
  SSL_CIPHER: '$ssl_cipher',
  SSL_CLIENT_VERIFY: '$ssl_client_verify',
  SSL_CLIENT_S_DN: '$ssl_client_s_dn',
  SSL_CLIENT_I_DN: '$ssl_client_i_dn',
  SSL_CLIENT_M_SERIAL: '$ssl_client_serial',
  SSL_TLS_SNI: '$ssl_server_name',
};

/** A request header's variable. */
export const headerVariable = (name: string): string => `$\{http_${name.toLowerCase().replace(/[^a-z0-9]/g, '_')}}`;

/** `NAME` of `%{NAME}`, also `HTTP:Header`; undefined when Steward has no such variable. */
export function variableOf(name: string): string | undefined {
  const header = /^(?:HTTP|http|req|REQ):([\w-]+)$/.exec(name)?.[1];
  if (header !== undefined) return headerVariable(header);
  const bare = name.replace(/^SSL:/, '').toUpperCase();
  const found = Object.hasOwn(serverVariables, bare) ? serverVariables[bare] : undefined;
  return found === undefined ? undefined : `\${${found.slice(1)}}`;
}

/** Whether a text would be read as one with variables of Steward's. */
export const hasDollar = (text: string): boolean => /\$[\w{]/.test(text);

/** A header's value in Steward's variables, or undefined when it holds something Steward does not know. */
export function headerText(text: string): string | undefined {
  if (hasDollar(text)) return undefined;
  const isExpression = text.startsWith('expr=');
  let known = true;
  const plain = text.replace(/^expr=/, '').replaceAll(/%(%|\{([\w:-]+)\}([se]?)|.)/g, (all, what: string, name: string | undefined) => {
    if (what === '%') return isExpression ? all : '%';
    const variable = name === undefined ? undefined : variableOf(name);
    known &&= variable !== undefined;
    return variable ?? '';
  });
  return known && !/[\r\n\0]/.test(plain) ? plain : undefined;
}

const formatLetters: Readonly<Record<string, string>> = {
  '%': '%',
  a: '$remote_addr',
  h: '$remote_addr',
  A: '$server_addr',
  b: '${apache_bytes}',
  B: '$body_bytes_sent',
  D: '$request_time',
  f: '$request_filename',
  H: '$server_protocol',
  I: '$request_length',
  k: '$connection_requests',
  l: '-',
  L: '$request_id',
  m: '$request_method',
  O: '$bytes_sent',
  S: '$bytes_sent',
  p: '$server_port',
  P: '$pid',
  q: '$is_args$args',
  r: '$request',
  s: '$status',
  t: '[$time_local]',
  T: '$request_time',
  u: '$remote_user',
  U: '$uri',
  v: '$server_name',
  V: '$host',
  X: '$request_completion',
};

function formatVariable(letter: string, name: string | undefined): string | undefined {
  if (name === undefined) return Object.hasOwn(formatLetters, letter) ? formatLetters[letter] : undefined;
  const word = name.toLowerCase().replace(/[^a-z0-9]/g, '_');
  if (letter === 'i') return `$\{http_${word}}`;
  if (letter === 'o') return `$\{sent_http_${word}}`;
  if (letter === 'C') return `$\{cookie_${name.replace(/\W/g, '_')}}`;
  if (letter === 'a' || letter === 'h') return name === 'c' ? '$realip_remote_addr' : undefined;
  if (letter === 'p') return name === 'remote' ? '$remote_port' : '$server_port';
  if (letter === 't') return name === 'sec' || name === 'msec' ? '$msec' : '$time_iso8601';
  if (letter === 'T') return '$request_time';
  if (letter === 'u') return '$remote_user';
  return letter === 'x' || letter === 'e' || letter === 's' ? variableOf(name) : undefined;
}

/**
 * A format of mod_log_config (https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#formats) as a text with variables, and
 * what of it Steward writes as `-` or otherwise.
 */
export function logText(format: string): {
  readonly text: string;
  readonly unknown: readonly string[];
  readonly changed: readonly string[];
} {
  const unknown: string[] = [];
  const changed: string[] = [];
  const text = format
    .replaceAll('\\"', '"')
    .replaceAll('\\t', '\t')
    .replaceAll('\\n', ' ')
    .replaceAll('%U%q', '$request_uri')
    .replaceAll(/%([!\d,]*)([<>]?)(?:\{([^}]*)\})?(\^?[a-zA-Z%])/g, (all, _status, _which, name: string | undefined, letter: string) => {
      if (letter === 'D' || (letter === 'T' && name !== 'ms' && name !== 's')) changed.push(all);
      const found = formatVariable(letter, name);
      if (found === undefined) unknown.push(all);
      return found ?? '-';
    });
  return { text, unknown, changed };
}
