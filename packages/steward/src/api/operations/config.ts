/** The configuration as text, and its history. */
import type { ConfigVersion } from '@steward/sdk/contract/config';
import { type AppliedConfig, keptVersion } from '../../config-history.ts';
import type { Handlers, Rooms } from '../handlers.ts';

const standardPage = 50;

const described = ({ version, atMs, by, summary, etag, paths }: AppliedConfig): ConfigVersion => ({
  version,
  at: new Date(atMs).toISOString(),
  by,
  summary,
  etag,
  files: [...paths],
});

export function configHandlers({
  system: { configuration },
}: Rooms): Pick<Handlers, 'getConfig' | 'putConfig' | 'checkConfig' | 'listConfigVersions' | 'getConfigVersion' | 'rollBackConfig'> {
  const { history } = configuration;
  return {
    getConfig: () => configuration.texts(),
    checkConfig: ({ body }) => configuration.check(body.files),
    putConfig: ({ body: { files, replace = false } }, { subject, ifMatch }) =>
      configuration.put(files, { by: subject.name, replace, ...(ifMatch !== undefined && { ifMatch }) }),
    listConfigVersions({ query: { limit = standardPage, after } }) {
      const found = history.list(limit + 1, after);
      const next = found.length > limit ? found[limit - 1]?.version : undefined;
      return { versions: found.slice(0, limit).map(described), ...(next !== undefined && { next }) };
    },
    getConfigVersion({ params: { version } }) {
      const found = keptVersion(history, version);
      return { ...described(found.applied), roots: [...found.applied.roots], files: found.texts.map((text) => ({ ...text })) };
    },
    rollBackConfig: ({ params, body }, { subject }) =>
      configuration.rollBack(params.version, { by: subject.name, replace: body.replace ?? false }),
  };
}
