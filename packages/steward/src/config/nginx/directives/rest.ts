/**
 * Directives Steward does nothing with: those that have no meaning here, those with an equal of Steward's own, those
 * that are left out aloud, and those whose loss would open what nginx closes, which stop the import.
 */
import { readFlag } from '../arguments.ts';
import { anywhere, type Call, type Context, type Entry, many, notTaken } from '../scene.ts';

const everywhere: readonly Context[] = ['main', 'http', 'server', 'location'];
const orIf: readonly Context[] = [...everywhere, 'if', 'server-if', 'limit_except'];
const names = (text: string): readonly string[] => text.trim().split(/\s+/);

/** Tuning of nginx's own memory, sockets and processes, and switches whose default is what Steward always does. */
const silent = names(`
  sendfile sendfile_max_chunk tcp_nopush tcp_nodelay types_hash_max_size types_hash_bucket_size server_names_hash_bucket_size
  server_names_hash_max_size variables_hash_max_size variables_hash_bucket_size proxy_headers_hash_max_size proxy_headers_hash_bucket_size
  map_hash_max_size map_hash_bucket_size gzip_buffers
  worker_rlimit_nofile worker_rlimit_core worker_cpu_affinity worker_priority worker_shutdown_timeout
  daemon master_process pcre_jit thread_pool timer_resolution lock_file working_directory env debug_points
  keepalive_requests keepalive_time keepalive_disable reset_timedout_connection lingering_close lingering_time lingering_timeout
  client_body_buffer_size client_body_temp_path client_body_in_file_only
  client_body_in_single_buffer connection_pool_size request_pool_size output_buffers postpone_output read_ahead directio directio_alignment aio
  aio_write open_file_cache open_file_cache_errors open_file_cache_min_uses open_file_cache_valid open_log_file_cache
  proxy_buffers proxy_buffer_size proxy_busy_buffers_size proxy_temp_path proxy_temp_file_write_size proxy_max_temp_file_size
  proxy_request_buffering proxy_socket_keepalive server_tokens log_not_found log_subrequest port_in_redirect
  absolute_redirect msie_padding msie_refresh chunked_transfer_encoding
  rewrite_log uninitialized_variable_warn
`);

/** Switches that Steward has in one position only. */
const fixedSwitches: Readonly<Record<string, { readonly is: 'on' | 'off'; readonly hint: string }>> = {
  merge_slashes: { is: 'on', hint: 'Steward finds routes with // taken for /.' },
  underscores_in_headers: { is: 'off', hint: 'Let clients write - in the names of headers.' },
  ignore_invalid_headers: { is: 'on', hint: 'Headers with other characters than letters, digits and - are left out.' },
  server_name_in_redirect: { is: 'off', hint: 'Redirects name the host the client asked for.' },
  recursive_error_pages: { is: 'off', hint: 'An error of an error page is not replaced again.' },
  etag: { is: 'on', hint: 'Files always have an ETag.' },
  proxy_force_ranges: { is: 'off', hint: 'Let the program answer ranges.' },
  gunzip: { is: 'off', hint: 'Answers are passed on as they are compressed.' },
};

const noted: Readonly<Record<string, string>> = {
  error_log: 'Steward keeps the log of the gateway itself: `steward logs gateway`.',
  pid: 'Steward knows its own processes: `steward ps`.',
  load_module: 'Steward has no modules to load.',
  resolver: 'Steward asks the resolver of the system.',
  resolver_timeout: 'Steward asks the resolver of the system.',
};

/** Whole families with one note. */
const notedFamilies: readonly (readonly [RegExp, string])[] = [
  [/^(fastcgi|uwsgi|scgi|grpc|memcached)_/, 'Steward speaks HTTP to programs: use proxy_pass.'],
  [/^ssl_/, 'Steward picks protocols, ciphers and session handling itself, safe for today.'],
];

const advised: Readonly<Record<string, string>> = {
  autoindex: 'Steward lists no folders.',
  geo: 'Use map with regular expressions on $remote_addr, or allow and deny.',
  split_clients: 'See `canary` of routes in docs/config.md.',
  stream: 'Steward passes on HTTP only; keep nginx for other protocols.',
  mail: 'Steward passes on HTTP only; keep nginx for mail.',
  proxy_cache: 'Cache in the program or in front.',
  proxy_store: 'Let the program write the file.',
  proxy_bind: 'Steward leaves the address to the system.',
  proxy_set_body: 'Let the program work with the body it gets.',
  proxy_cookie_flags: 'Let the program set the flags of its cookies.',
  proxy_limit_rate: 'Limit the speed in front.',
  proxy_ssl_certificate: 'Steward shows upstreams no certificate.',
  proxy_ssl_certificate_key: 'Steward shows upstreams no certificate.',
  proxy_ssl_crl: 'Steward looks at no list of revoked certificates.',
  limit_rate: 'Limit the speed in front.',
  limit_rate_after: 'Limit the speed in front.',
  add_trailer: 'Use add_header.',
  sub_filter: 'Change the text in the program.',
  mirror: 'Send copies from the program.',
  ssi: 'Put the page together in the program.',
  max_ranges: 'Steward answers ranges by the rules of HTTP.',
  post_action: 'Let the program do it.',
  random_index: 'Name the file in index.',
  charset_map: 'Write files as UTF-8.',
};

/** Without these a site would answer people whom nginx turns away. */
const guards: Readonly<Record<string, string>> = {
  auth_jwt: 'Let the program check the token, or keep nginx in front of this part.',
  auth_oidc: 'Let the program ask who it is, or keep nginx in front of this part.',
  secure_link: 'Let the program check the link.',
  secure_link_md5: 'Let the program check the link.',
  ssl_crl: 'Steward looks at no list of revoked certificates: keep nginx in front of this part.',
  ssl_ocsp: 'Steward asks nobody about certificates of clients: keep nginx in front of this part.',
  disable_symlinks: 'Take links that lead out of the folder away.',
};

const entry = (name: string, read: (call: Call) => void): Entry => ({ name, contexts: orIf, args: [0, many], read });

/** Remembers the variables that a directive would have given values to. */
function rememberForeign({ directive, args, scene }: Call): void {
  for (const { text } of args) {
    const [, name] = /^\$(\w+)$/.exec(text) ?? [];
    if (name !== undefined) scene.foreign.set(name.toLowerCase(), directive.name);
  }
}

const leaveOut = (hint: string | undefined) => (call: Call) => {
  rememberForeign(call);
  notTaken(call, call.directive.name, call.directive.at, hint);
};

function refuse(call: Call): void {
  const { directive, args, scene } = call;
  if (/^off$/i.test(args[0]?.text ?? '')) return;
  const message = `${directive.name} is not taken over: without it the site would be open to everybody`;
  scene.error('config/nginx-not-taken-over', message, directive.at, guards[directive.name]);
}

const checkSwitch = ([name, { is, hint }]: [string, { readonly is: 'on' | 'off'; readonly hint: string }]): Entry => ({
  name,
  contexts: anywhere,
  args: [1, 1],
  once: true,
  read: (call) => {
    const flag = readFlag(call);
    if (flag !== undefined && flag.value !== (is === 'on')) notTaken(call, `${name} ${is === 'on' ? 'off' : 'on'}`, flag.at, hint);
  },
});

const blocks = /^(geo|split_clients|stream|mail|charset_map)$/;

export const restEntries: readonly Entry[] = [
  ...silent.map((name) => entry(name, () => {})),
  ...Object.entries(fixedSwitches).map(checkSwitch),
  { ...entry('events', () => {}), contexts: ['main'], block: true, once: true },
  ...Object.entries(noted).map(([name, hint]) => entry(name, ({ scene, directive }) => scene.instead(name, directive.at, hint))),
  ...Object.keys(guards).map((name) => entry(name, refuse)),
  ...Object.entries(advised).map(([name, hint]) => ({ ...entry(name, leaveOut(hint)), ...(blocks.test(name) ? { block: true } : {}) })),
];

/** What to do with a name that no entry has: a note of its family, else it is left out aloud. */
export function readUnlisted(call: Call, suggestion: string | undefined): void {
  const { directive, scene } = call;
  const family = notedFamilies.find(([pattern]) => pattern.test(directive.name));
  if (family !== undefined) scene.instead(family[0].source, directive.at, family[1], directive.name);
  else
    leaveOut(
      suggestion === undefined
        ? 'Steward does not know it: check what the site needs of it, then remove it.'
        : `Did you mean "${suggestion}"?`,
    )(call);
}
