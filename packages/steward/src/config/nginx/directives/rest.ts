/**
 * Directives Steward does nothing with: those that have no meaning here, those with an equal of Steward's own, those
 * that are left out aloud, and those whose loss would open what nginx closes, which stop the import.
 */
import { type Call, type Context, type Entry, many } from '../scene.ts';

const everywhere: readonly Context[] = ['main', 'http', 'server', 'location'];
const names = (text: string): readonly string[] => text.trim().split(/\s+/);

/** Tuning of nginx's own memory, sockets and processes, and switches whose default is what Steward always does. */
const silent = names(`
  sendfile sendfile_max_chunk tcp_nopush tcp_nodelay types_hash_max_size types_hash_bucket_size server_names_hash_bucket_size
  server_names_hash_max_size variables_hash_max_size variables_hash_bucket_size proxy_headers_hash_max_size proxy_headers_hash_bucket_size
  worker_rlimit_nofile worker_rlimit_core worker_cpu_affinity worker_priority worker_shutdown_timeout
  daemon master_process pcre_jit thread_pool timer_resolution lock_file working_directory env debug_points
  keepalive_requests keepalive_time keepalive_disable reset_timedout_connection lingering_close lingering_time lingering_timeout
  client_body_buffer_size client_header_buffer_size large_client_header_buffers client_body_temp_path client_body_in_file_only
  client_body_in_single_buffer connection_pool_size request_pool_size output_buffers postpone_output read_ahead directio directio_alignment aio
  aio_write open_file_cache open_file_cache_errors open_file_cache_min_uses open_file_cache_valid
  proxy_buffers proxy_buffer_size proxy_busy_buffers_size proxy_temp_path proxy_temp_file_write_size proxy_max_temp_file_size
  proxy_request_buffering proxy_socket_keepalive server_tokens log_not_found log_subrequest merge_slashes port_in_redirect
  server_name_in_redirect absolute_redirect default_type charset msie_padding chunked_transfer_encoding if_modified_since max_ranges etag
  send_timeout recursive_error_pages rewrite_log uninitialized_variable_warn auth_basic_user_file auth_request_set
  secure_link_md5
`);

const noted: Readonly<Record<string, string>> = {
  error_log: 'Steward keeps the log of the gateway itself: `steward logs gateway`.',
  pid: 'Steward knows its own processes: `steward ps`.',
  load_module: 'Steward has no modules to load.',
  resolver: 'Steward asks the resolver of the system.',
  resolver_timeout: 'Steward asks the resolver of the system.',
  gzip: 'The gateway passes answers on as they are: compress in the program, or in front.',
  proxy_next_upstream: 'Steward tries the next server when one does not answer, and only for requests that may be repeated.',
  proxy_next_upstream_tries: 'Steward tries each server of an upstream at most once.',
  proxy_next_upstream_timeout: 'Steward tries each server of an upstream at most once.',
  http2: 'Steward speaks HTTP/1.1 with clients.',
};

/** Whole families with one note. */
const notedFamilies: readonly (readonly [RegExp, string])[] = [
  [/^gzip_/, noted.gzip as string],
  [/^(fastcgi|uwsgi|scgi|grpc|memcached)_/, 'Steward speaks HTTP to programs: use proxy_pass.'],
  [/^ssl_/, 'Steward picks protocols, ciphers and session handling itself, safe for today.'],
];

const advised: Readonly<Record<string, string>> = {
  autoindex: 'Steward lists no folders.',
  expires: 'Set the header itself: add_header Cache-Control "max-age=...";',
  map: 'Write the value out where it is used.',
  geo: 'Write the value out where it is used.',
  split_clients: 'Write the value out where it is used.',
  set: 'Write the value out where it is used.',
  stream: 'Steward passes on HTTP only; keep nginx for other protocols.',
  mail: 'Steward passes on HTTP only; keep nginx for mail.',
  limit_req: 'Limit requests in the program or in front.',
  limit_conn: 'Limit connections in the program or in front.',
  proxy_cache: 'Cache in the program or in front.',
  proxy_intercept_errors: 'Clients get what the program answers.',
  proxy_hide_header: 'Let the program leave the header out.',
  proxy_pass_header: 'Steward passes all headers on.',
  proxy_cookie_path: 'Let the program set the cookie with its public path.',
  proxy_cookie_domain: 'Let the program set the cookie with its public domain.',
  proxy_method: 'Steward keeps the method.',
  real_ip_header: 'Steward takes the address of the connection.',
  set_real_ip_from: 'Steward takes the address of the connection.',
  sub_filter: 'Change the text in the program.',
};

/** Without these a site would answer people whom nginx turns away. */
const guards: Readonly<Record<string, string>> = {
  auth_basic: 'Let the program ask for the password, or keep nginx in front of this part.',
  auth_request: 'Let the program decide, or keep nginx in front of this part.',
  auth_jwt: 'Let the program check the token, or keep nginx in front of this part.',
  limit_except: 'Let the program refuse the other methods.',
  ssl_verify_client: 'Steward asks clients for no certificate: keep nginx in front of this part.',
  secure_link: 'Let the program check the link.',
};

const entry = (name: string, read: (call: Call) => void): Entry => ({ name, contexts: everywhere, args: [0, many], read });

const leaveOut = (hint: string | undefined) => (call: Call) =>
  call.scene.warning('config/nginx-not-taken-over', `${call.directive.name} is not taken over`, call.directive.at, hint);

function refuse(call: Call): void {
  const { directive, args, scene } = call;
  if (/^off$/i.test(args[0]?.text ?? '')) return;
  const message = `${directive.name} is not taken over: without it the site would be open to everybody`;
  scene.error('config/nginx-not-taken-over', message, directive.at, guards[directive.name]);
}

/** `map $http_upgrade $connection_upgrade` only serves websockets, which need nothing here. */
function readMap(call: Call): void {
  if (call.args[0]?.text === '$http_upgrade') call.scene.instead('websocket', call.directive.at, websocketHint, 'map $http_upgrade');
  else leaveOut(advised.map)(call);
}

export const websocketHint = 'Steward passes websockets on by itself.';

export const restEntries: readonly Entry[] = [
  ...silent.map((name) => entry(name, () => {})),
  { ...entry('events', () => {}), contexts: ['main'], block: true, once: true },
  {
    ...entry('types', ({ scene, directive }) => scene.instead('types', directive.at, 'Steward knows the types of files itself.')),
    block: true,
  },
  ...Object.entries(noted).map(([name, hint]) => entry(name, ({ scene, directive }) => scene.instead(name, directive.at, hint))),
  { ...entry('map', readMap), contexts: ['http'], block: true },
  ...Object.entries(guards).map(([name]) => ({ ...entry(name, refuse), ...(name === 'limit_except' ? { block: true } : {}) })),
  ...Object.entries(advised)
    .filter(([name]) => name !== 'map')
    .map(([name, hint]) => ({
      ...entry(name, leaveOut(hint)),
      ...(/^(geo|split_clients|stream|mail)$/.test(name) ? { block: true } : {}),
    })),
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
