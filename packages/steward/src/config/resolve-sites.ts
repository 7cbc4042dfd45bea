/** The sites of all files together: whose ports and host names they share. Pure. */
import type { ListenSpec, SiteSpec } from './model.ts';
import type { Pair } from './resolve-services.ts';
import { resolveSite } from './resolve-site.ts';
import { textChecker } from './resolve-text.ts';
import type { Scope } from './scope.ts';
import { variablesOfEntry, variablesOfSite } from './text-variables.ts';

interface Placed {
  readonly scope: Scope;
  readonly pointer: string;
  readonly site: SiteSpec;
}

const keyOf = ({ host, port }: ListenSpec): string => `${host ?? '*'}:${port}`;

/** How the connections of a listener begin. */
interface Speech {
  readonly tls: boolean;
  readonly proxyProtocol: boolean;
}

const listenersOf = ({ listen, redirectFrom, tls }: SiteSpec): { listener: ListenSpec; field: string; speech: Speech }[] => [
  ...listen.map((listener) => ({
    listener,
    field: 'listen',
    speech: { tls: tls !== undefined, proxyProtocol: listener.proxyProtocol === true },
  })),
  ...redirectFrom.map((listener) => ({
    listener,
    field: 'redirectFrom',
    speech: { tls: false, proxyProtocol: listener.proxyProtocol === true },
  })),
];

/** One listener speaks TLS or it does not, and expects a PROXY header or none. */
function checkSpeech(sites: readonly Placed[]): void {
  const known = new Map<string, Speech>();
  for (const { scope, pointer, site } of sites) {
    for (const { listener, field, speech } of listenersOf(site)) {
      const earlier = known.get(keyOf(listener)) ?? speech;
      known.set(keyOf(listener), earlier);
      if (earlier.tls !== speech.tls)
        scope.tell(
          `${pointer}/listen`,
          'config/mixed-listener',
          `port ${listener.port} speaks HTTPS in one site and plain HTTP in another`,
          'One port speaks one of them: move a site to another port, or give both tls.',
        );
      if (earlier.proxyProtocol !== speech.proxyProtocol)
        scope.tell(
          `${pointer}/${field}`,
          'config/mixed-proxy-protocol',
          `port ${listener.port} expects the PROXY protocol in one place and not in another`,
          'Write proxyProtocol wherever the port stands, or nowhere.',
        );
    }
  }
}

/** A host name is served once per listener, and so are hosts that no site names. */
function checkHosts(sites: readonly Placed[]): void {
  const taken = new Set<string>();
  const isFirst = (name: string): boolean => !taken.has(name) && Boolean(taken.add(name));
  for (const { scope, pointer, site } of sites) {
    for (const listener of site.listen) {
      for (const host of site.hosts.length > 0 ? site.hosts : [''])
        if (!isFirst(`${keyOf(listener)} ${host}`))
          scope.tell(
            `${pointer}/hosts`,
            'config/host-twice',
            `${host === '' ? 'a site for any host' : `"${host}"`} is served twice on port ${listener.port}; the first one answers`,
            'Take one of them away, or give it another host or port.',
            'warning',
          );
      if (site.isDefault && !isFirst(`${keyOf(listener)} default`))
        scope.tell(
          `${pointer}/default`,
          'config/default-twice',
          `port ${listener.port} has two sites for unknown hosts; the first one answers`,
          'Take default away from one of them.',
          'warning',
        );
    }
  }
}

/** All sites, in the order of the files. */
export function resolveSites(pairs: readonly Pair[]): SiteSpec[] {
  const entries = pairs.flatMap(({ reading }) => Object.entries(reading.config.variables ?? {}));
  const common = entries.flatMap(([name, source]) => variablesOfEntry(name, source));
  const sources = pairs.flatMap(({ reading, scope }) =>
    (reading.config.sites ?? []).map((source, index) => ({ scope, source, pointer: `/sites/${index}`, own: variablesOfSite(source) })),
  );
  const anywhere = new Set(sources.flatMap(({ own }) => [...own]));
  const sites = sources.map(({ scope, source, pointer, own }): Placed => {
    const text = textChecker(new Set([...common, ...own]), anywhere, scope.tell);
    return { scope, pointer, site: resolveSite({ ...scope, text }, source, pointer) };
  });
  checkSpeech(sites);
  checkHosts(sites);
  return sites.map(({ site }) => site);
}
