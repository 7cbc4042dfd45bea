/** Every problem the gateway reports, by code: what it means. Listed in docs/errors.md. */
export const gatewayErrors = {
  'gateway/listen-in-use': 'another program has the port',
  'gateway/listen-denied': 'the port needs a right that the gateway does not have',
  'gateway/listen-address': 'no network interface of this machine has the address',
  'gateway/listen-failed': 'the port could not be opened for another reason',
  'gateway/pattern': 'a regular expression cannot be used',
  'gateway/variable-cycle': 'a variable is made from itself',
  'gateway/certificate-unreadable': 'a certificate or key file cannot be read',
  'gateway/certificate-invalid': 'a certificate or key file holds something else',
  'gateway/certificate-key': 'the key does not belong to the certificate',
  'gateway/certificate-expired': 'the certificate is no longer valid',
  'gateway/certificate-expires': 'the certificate ends within 30 days',
  'gateway/certificate-early': 'the certificate is not valid yet',
  'gateway/certificate-host': 'the certificate does not cover a host of the site',
  'gateway/certificate-refused': 'the TLS library does not take the certificate',
  'gateway/authority': 'the local authority cannot be made or read',
  'gateway/worker-late': 'a worker did not take the new table in time',
  'gateway/acme-host': 'no certificate can be asked for a host: it is a wildcard, a pattern, an address or no full name',
  'gateway/acme-refused': 'the authority (ACME) gave no certificate, and there is none yet',
  'gateway/acme-ends': 'a certificate ends within 14 days, and its renewal keeps failing',
  'gateway/acme-ended': 'a certificate has ended without being renewed; it is still shown',
  'gateway/acme-directory': 'the authority (ACME) cannot be reached, or does not work',
  'gateway/acme-state': 'the folder with the certificates of the authority (ACME) cannot be read or written',
  'gateway/file': 'a file that a site names cannot be used',
} as const;

export type GatewayErrorCode = keyof typeof gatewayErrors;
