/** Directives about Apache itself: what has no meaning here, what Steward does instead, what is left out aloud. */
import { formatDuration } from '../../units.ts';
import { badValue, type Call, type Entry, firstArg, given, many } from '../scene.ts';
import { parseTime } from './proxy.ts';

const names = (text: string): readonly string[] => text.trim().split(/\s+/);

/** Processes, modules and switches of Apache's own. */
const silent = names(`
  LoadModule LoadFile DefaultRuntimeDir Mutex PidFile Group ServerTokens ServerSignature TraceEnable UseCanonicalName HostnameLookups
  KeepAlive MaxKeepAliveRequests StartServers MinSpareServers MaxSpareServers MinSpareThreads MaxSpareThreads ThreadsPerChild ThreadLimit
  MaxRequestWorkers MaxConnectionsPerChild MaxClients ServerLimit AsyncRequestWorkerFactor ListenBacklog ListenCoresBucketsRatio ReceiveBufferSize SendBufferSize EnableSendfile EnableMMAP
  AcceptFilter GracefulShutdownTimeout ScoreBoardFile CoreDumpDirectory NameVirtualHost ProxyVia ProxyReceiveBufferSize ProxyIOBufferSize ProxyBadHeader ProxyErrorOverride
  FileETag ContentDigest AddDefaultCharset AccessFileName TypesConfig MIMEMagicFile AddType AddEncoding AddLanguage AddCharset AddIcon AddIconByType AddIconByEncoding DefaultIcon DefaultType
  LanguagePriority ForceLanguagePriority IndexOptions IndexIgnore ReadmeName HeaderName AddHandler AddOutputFilter BrowserMatch BrowserMatchNoCase SetEnvIf SetEnvIfNoCase
  LimitRequestFields LimitRequestFieldSize LimitRequestLine RequestReadTimeout SSLProxyEngine ProxyPassInherit Protocols ProtocolsHonorOrder Options
`);

const logHint = 'Steward writes one line for each request to its own log: `steward logs gateway`.';

const noted: Readonly<Record<string, string>> = {
  ServerAdmin: 'Steward prints no address on error pages.',
};

const logs = names('ErrorLog CustomLog TransferLog LogLevel LogFormat ErrorLogFormat GlobalLog ForensicLog');

const advised: Readonly<Record<string, string>> = {
  Alias: 'Write a route with files: in steward.yaml.',
  AliasMatch: 'Write a route with files: in steward.yaml.',
  ScriptAlias: 'Let the program speak HTTP.',
  ErrorDocument: 'Clients get the plain error, or what the program answers itself.',
  RewriteEngine: 'Steward rewrites no paths: use Redirect, or ProxyPass with a path.',
  RewriteRule: 'Steward rewrites no paths: use Redirect, or ProxyPass with a path.',
  RewriteCond: 'Steward has no conditions: use a site for a host, a route for a path.',
  RedirectMatch: 'Write a route with a regular expression and redirect: in steward.yaml.',
  ProxyPassMatch: 'Write a route with a regular expression in steward.yaml.',
  ProxyPassReverseCookiePath: 'Let the program set the cookie with its public path.',
  ProxyPassReverseCookieDomain: 'Let the program set the cookie with its public domain.',
  BalancerMember: 'Name the servers under upstreams: in steward.yaml.',
  SetEnv: 'Give the program its environment in steward.yaml.',
  PassEnv: 'Give the program its environment in steward.yaml.',
  UserDir: 'Write a route with files: in steward.yaml.',
  WSGIScriptAlias: 'Run the program as a service and hand requests to it.',
  AddOutputFilterByType: 'The gateway passes answers on as they are.',
  SetOutputFilter: 'The gateway passes answers on as they are.',
};

/** What lets fewer people in than everybody. */
const guards = /^(require|allow|deny|auth\w*|sslrequire\w*)$/i;

function readUser(call: Call): void {
  const word = firstArg(call);
  if (!word.text.includes('${')) call.scene.draft.set(call.scene.gateway, 'user', given(word.text, word));
}

function readKeepAlive(call: Call): void {
  const word = firstArg(call);
  const ms = parseTime(word.text);
  if (ms === undefined) badValue(call, word, 'a time', 'Write seconds, or a number with ms.');
  else call.scene.draft.set(call.scene.gateway, 'idleTimeout', given(formatDuration(ms), word));
}

function readDefine(call: Call): void {
  const [name, value] = call.args;
  if (name !== undefined) call.scene.defined.set(name.text, value?.text ?? '');
}

function readVerifyClient(call: Call): void {
  if (/^none$/i.test(firstArg(call).text)) return;
  const hint = 'Steward asks clients for no certificate: keep Apache in front of this part.';
  call.scene.error(
    'config/apache-not-taken-over',
    'SSLVerifyClient is not taken over: without it the site would be open to everybody',
    call.directive.at,
    hint,
  );
}

const leaveOut = (hint: string) => (call: Call) => {
  call.scene.warning('config/apache-not-taken-over', `${call.directive.name} is not taken over`, call.directive.at, hint);
};

export const restEntries: readonly Entry[] = [
  ...silent.map((name): Entry => ({ name, args: [0, many], undefinedNames: 'ignore', read: () => {} })),
  ...logs.map(
    (name): Entry => ({
      name,
      args: [0, many],
      undefinedNames: 'note',
      read: ({ scene, directive }) => scene.instead('logs', directive.at, logHint, directive.name),
    }),
  ),
  ...Object.entries(noted).map(
    ([name, hint]): Entry => ({
      name,
      args: [0, many],
      undefinedNames: 'ignore',
      read: ({ scene, directive }) => scene.instead(name, directive.at, hint),
    }),
  ),
  ...Object.entries(advised).map(([name, hint]): Entry => ({ name, args: [0, many], undefinedNames: 'ignore', read: leaveOut(hint) })),
  { name: 'User', mainOnly: true, args: [1, 1], undefinedNames: 'note', read: readUser },
  { name: 'KeepAliveTimeout', args: [1, 1], read: readKeepAlive },
  { name: 'SSLVerifyClient', args: [1, 1], read: readVerifyClient },
  { name: 'Define', args: [1, 2], read: readDefine },
  { name: 'UnDefine', args: [1, 1], read: (call) => void call.scene.defined.delete(firstArg(call).text) },
  {
    name: 'ServerRoot',
    mainOnly: true,
    args: [1, 1],
    read: (call) => {
      call.scene.serverRoot = firstArg(call).text;
    },
  },
];

/** What to do with a name that no entry has. */
export function readUnlisted(call: Call, suggestion: string | undefined): void {
  const { directive, scene } = call;
  if (guards.test(directive.name)) {
    const message = `${directive.name} is not taken over: without it the site would be open to everybody`;
    scene.error('config/apache-not-taken-over', message, directive.at, 'Let the program decide, or keep Apache in front of this part.');
  } else if (/^SSL/i.test(directive.name)) {
    scene.instead('SSL', directive.at, 'Steward picks protocols, ciphers and session handling itself, safe for today.', directive.name);
  } else
    leaveOut(
      suggestion === undefined
        ? 'Steward does not know it: check what the site needs of it, then remove it.'
        : `Did you mean "${suggestion}"?`,
    )(call);
}
