/**
 * The codes of refusals: what the API, the command line and the daemon say no with, each with what it means. Problems of
 * files and of the gateway have theirs in config/ and gateway/. All of them are listed in docs/errors.md.
 */
export const errorCodes = {
  'api/bad-request': 'The request does not have the shape that the operation takes, is not JSON, or is too large.',
  'api/bad-time': 'A text is not a time.',
  'api/internal': 'A mistake inside Steward; the log of the daemon has the details.',
  'api/no-operation': 'There is no operation of this method and path.',
  'api/refused': 'The server answered no without a code of its own; most likely it is not Steward.',
  'api/unknown-name': 'A name means no service, group or instance.',
  'api/unknown-signal': 'A text is no signal that Steward sends.',
  'cli/no-daemon': 'No daemon answers at the control socket of the state directory.',
  'cli/no-file': 'No file was named, and the current folder has no steward.yaml.',
  'cli/usage': 'The command line cannot be understood.',
  'config/errors': 'The files have errors; nothing was changed.',
  'config/no-files': 'No files were named, and none were applied before.',
  'config/other-files': 'The files leave out services that an earlier apply brought; --replace stops those.',
  'daemon/already-running': 'Another daemon uses the state directory.',
  'daemon/start': 'The daemon ended, or did not answer, after its start.',
  'daemon/state-folder': 'The state directory cannot be made or written.',
  'daemon/state-path': 'The path of the state directory is too long for a unix socket in it.',
} as const;

export type ErrorCode = keyof typeof errorCodes;
