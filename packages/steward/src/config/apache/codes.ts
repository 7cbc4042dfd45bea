/** The codes this reader reports, each with what it means. */
export const apacheCodes = {
  'config/apache-syntax':
    'The text does not follow the grammar of Apache files: a quote, a > or the end of a section is missing or too many.',
  'config/apache-include': 'An included file is missing, or files include each other.',
  'config/apache-undefined': 'A ${NAME} that neither Define nor the environment sets.',
  'config/apache-not-allowed-here': 'A directive stands in a section where Apache does not allow it.',
  'config/apache-arguments': 'A directive has too few or too many arguments.',
  'config/apache-value': 'An argument of a directive cannot be read, or most likely does not mean what it says.',
  'config/apache-certificate': 'A virtual host speaks TLS and its certificate is missing.',
  'config/apache-never-used': 'A virtual host, name, ProxyPass or Redirect that no request can reach, since an earlier one takes it.',
  'config/apache-forward-proxy': 'ProxyRequests On: Steward is no proxy for the way out.',
  'config/apache-not-taken-over':
    'A directive that Steward does not take over; as an error when leaving it out would open what Apache closes.',
  'config/apache-instead': 'What Steward does instead of a directive that it does not need.',
} as const;

export type ApacheCode = keyof typeof apacheCodes;
