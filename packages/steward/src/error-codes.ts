/**
 * The codes of refusals: what the API, the command line and the daemon say no with, each with what it means. Problems of
 * files and of the gateway have theirs in config/ and gateway/. All of them are listed in docs/errors.md.
 */
export const errorCodes = {
  'api/bad-request': 'The request does not have the shape that the operation takes, is not JSON, or is too large.',
  'api/bad-pattern': 'A text is not a regular expression.',
  'api/bad-time': 'A text is not a time.',
  'api/boot-has-run': 'The boot list has run since the machine booted, and nothing says to run it again.',
  'api/boot-runs': 'The boot list is running already.',
  'api/bad-scale': 'A service cannot have that many instances.',
  'api/cannot-start': 'A command cannot be started as the user, or in the folder, of a service.',
  'api/forbidden': 'Who asks has no right to it.',
  'api/internal': 'A mistake inside Steward; the log of the daemon has the details.',
  'api/local-only': 'The operation is for who owns the installation: it is done over the control socket.',
  'api/no-operation': 'There is no operation of this method and path.',
  'api/refused': 'The server answered no without a code of its own; most likely it is not Steward.',
  'api/unknown-boot-list': 'The files have no boot list, or none for this host.',
  'api/unknown-boot-step': 'The boot list has no step of this name.',
  'api/slow-pattern': 'A regular expression takes too long on the lines of a log.',
  'api/unknown-name': 'A name means no service, group or instance.',
  'api/unknown-run': 'A log knows of no such run.',
  'api/unknown-signal': 'A text is no signal that Steward sends.',
  'api/who': 'It is not known who asks: there is no session, no token, or it is no longer good.',
  'cli/no-daemon': 'No daemon answers at the control socket of the state directory.',
  'cli/no-file': 'No file was named, and the current folder has no steward.yaml.',
  'cli/usage': 'The command line cannot be understood.',
  'config/errors': 'The files have errors; nothing was changed.',
  'config/no-files': 'No files were named, and none were applied before.',
  'config/other-files': 'The files leave out services that an earlier apply brought; --replace stops those.',
  'daemon/already-running': 'Another daemon uses the state directory.',
  'daemon/ending': 'The daemon is about to end, and takes no more of this.',
  'daemon/no-service-manager': 'This machine does not run systemd, which `steward install` writes for.',
  'daemon/not-ours': 'A file that Steward would overwrite or remove was not written by it.',
  'daemon/program': 'The program that the daemon is to become is not there, or does not run.',
  'daemon/start': 'The daemon ended, or did not answer, after its start.',
  'daemon/state-database': 'state.db cannot be opened: a full or read-only disk, or a damaged file.',
  'daemon/state-folder': 'The state directory cannot be made or written.',
  'daemon/state-newer': 'state.db was written by a newer Steward, whose schema this one does not know.',
  'daemon/state-path': 'The path of the state directory is too long for a unix socket in it.',
  'daemon/upgrade': 'The program that was to take over did not come up.',
} as const;

export type ErrorCode = keyof typeof errorCodes;
