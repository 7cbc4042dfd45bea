/** Directives about Apache itself: what has no meaning here, what Steward does instead, what is left out aloud. */
import { formatDuration } from '../../units.ts';
import { badValue, type Call, type Entry, firstArg, given, leaveOut, many, refuse } from '../scene.ts';
import { parseTime } from './proxy.ts';

const names = (text: string): readonly string[] => text.trim().split(/\s+/);

/** Processes, modules and switches of Apache's own. */
const silent = names(`
  LoadModule LoadFile DefaultRuntimeDir Mutex PidFile Group ServerTokens ServerSignature TraceEnable UseCanonicalName UseCanonicalPhysicalPort HostnameLookups
  KeepAlive MaxKeepAliveRequests StartServers MinSpareServers MaxSpareServers MinSpareThreads MaxSpareThreads ThreadsPerChild ThreadLimit
  MaxRequestWorkers MaxConnectionsPerChild MaxClients ServerLimit AsyncRequestWorkerFactor ListenBacklog ListenCoresBucketsRatio ReceiveBufferSize SendBufferSize EnableSendfile EnableMMAP
  AcceptFilter GracefulShutdownTimeout ScoreBoardFile CoreDumpDirectory NameVirtualHost ProxyVia ProxyReceiveBufferSize ProxyIOBufferSize ProxyBadHeader
  FileETag ContentDigest AddDefaultCharset AccessFileName TypesConfig MIMEMagicFile AddEncoding AddLanguage AddCharset AddIcon AddIconByType AddIconByEncoding DefaultIcon DefaultType
  LanguagePriority ForceLanguagePriority IndexOptions IndexIgnore IndexStyleSheet ReadmeName HeaderName BrowserMatch BrowserMatchNoCase AllowOverrideList
  LimitRequestFields LimitRequestFieldSize LimitRequestLine LimitXMLRequestBody RequestReadTimeout SSLProxyEngine ProxyPassInherit Protocols ProtocolsHonorOrder DirectorySlash
  BufferedLogs BalancerInherit ExtendedStatus ProxyStatus SeeRequestTail FilterDeclare FilterProtocol DeflateBufferSize DeflateMemLevel DeflateWindowSize BrotliCompressionQuality AllowEncodedSlashes HttpProtocolOptions
  MergeSlashes QualifyRedirectURL RegexDefaultOptions StrictHostCheck H2Direct H2Push H2ModernTLSOnly H2Upgrade SSLProxyCheckPeerCN SSLProxyCheckPeerExpire
`);

const noted: Readonly<Record<string, string>> = {
  ServerAdmin: 'Steward prints no address on error pages.',
};

const advised: Readonly<Record<string, string>> = {
  SetEnv: 'Give the program its environment in steward.yaml.',
  PassEnv: 'Give the program its environment in steward.yaml.',
  SetEnvIf: 'Write variables: with cases, or steps, in steward.yaml.',
  SetEnvIfNoCase: 'Write variables: with cases, or steps, in steward.yaml.',
  SetEnvIfExpr: 'Write variables: with cases, or steps, in steward.yaml.',
  UserDir: 'Write a route with files: in steward.yaml.',
  AddOutputFilter: 'The gateway passes answers on as they are.',
  SetInputFilter: 'The gateway passes requests on as they are.',
  FilterProvider: 'Use AddOutputFilterByType DEFLATE, or compress: in steward.yaml.',
  FilterChain: 'Use AddOutputFilterByType DEFLATE, or compress: in steward.yaml.',
  Use: 'Steward reads no macros: write out what it stands for.',
  VirtualDocumentRoot: 'Write a site for "*.example.com" with root: /srv/$host in steward.yaml.',
  SSLProxyCheckPeerName: 'Steward checks the name when SSLProxyVerify is require.',
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

/** Listings of folders are never shown. */
function readOptions(call: Call): void {
  const shows = call.args.some(({ text }) => /^\+?(indexes|all)$/i.test(text));
  if (shows)
    call.scene.instead('Options Indexes', call.directive.at, 'Steward shows no listings of folders: one without an index file is refused.');
}

function readOverride(call: Call): void {
  const text = call.args.map((word) => word.text).join(' ');
  if (/^none$/i.test(text)) return;
  const hint = 'Move what stands in .htaccess files into the file of the site.';
  call.scene.warning('config/apache-not-taken-over', `AllowOverride ${text}: Steward reads no .htaccess`, call.directive.at, hint);
}

export const restEntries: readonly Entry[] = [
  ...silent.map((name): Entry => ({ name, args: [0, many], undefinedNames: 'ignore', read: () => {} })),
  ...Object.entries(noted).map(
    ([name, hint]): Entry => ({
      name,
      args: [0, many],
      undefinedNames: 'ignore',
      read: ({ scene, directive }) => scene.instead(name, directive.at, hint),
    }),
  ),
  ...Object.entries(advised).map(
    ([name, hint]): Entry => ({ name, args: [0, many], undefinedNames: 'ignore', read: (call) => leaveOut(call, hint) }),
  ),
  { name: 'User', in: 'main', args: [1, 1], undefinedNames: 'note', read: readUser },
  { name: 'KeepAliveTimeout', args: [1, 1], read: readKeepAlive },
  { name: 'Options', args: [0, many], read: readOptions },
  { name: 'AllowOverride', args: [1, many], read: readOverride },
  { name: 'Define', args: [1, 2], read: readDefine },
  { name: 'UnDefine', args: [1, 1], read: (call) => void call.scene.defined.delete(firstArg(call).text) },
  {
    name: 'ServerRoot',
    in: 'main',
    args: [1, 1],
    read: (call) => {
      call.scene.serverRoot = firstArg(call).text;
    },
  },
];

/** What to do with a name that no entry has. */
export function readUnlisted(call: Call, suggestion: string | undefined): void {
  const { directive, scene } = call;
  if (guards.test(directive.name)) refuse(call, directive.name);
  else if (/^SSL/i.test(directive.name)) {
    scene.instead('SSL', directive.at, 'Steward picks ciphers and session handling itself, safe for today.', directive.name);
  } else {
    const unknown = 'Steward does not know it: check what the site needs of it, then remove it.';
    leaveOut(call, suggestion === undefined ? unknown : `Did you mean "${suggestion}"?`);
  }
}
