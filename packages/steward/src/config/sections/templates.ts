/** The names that `{{...}}` may hold in the texts of a service, each with what it stands for. */
export const templateNames = {
  instance: 'number of the instance, counted from `firstInstance`; `{{instance:02d}}` pads it with zeros',
  instances: 'how many instances the service has',
  service: 'name of the service',
  group: 'its group',
  host: 'name of the machine',
  port: 'TCP port of the instance',
  socket: 'path of the unix socket of the instance',
  endpoint: 'host:port of the instance; `localhost` when it has a socket, over which `ready.http` then asks it',
  'env.NAME': "variable NAME of Steward's own environment",
  'secret.NAME':
    'the secret NAME, declared under `secrets` or stored; in `env` and `secretFiles` only, since everybody on a machine can read command lines',
  'secret.NAME.previous': 'the value that a stored secret had before, for a change with overlap; the same as it is now when there was none',
} as const;
