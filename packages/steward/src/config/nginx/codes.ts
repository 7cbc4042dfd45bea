/** The codes this reader reports, each with what it means. */
export const nginxCodes = {
  'config/nginx-syntax': 'The text does not follow the grammar of nginx files: a quote, brace or semicolon is missing or too many.',
  'config/nginx-include': 'An included file is missing, or files include each other.',
  'config/nginx-not-allowed-here': 'A directive stands in a block where nginx does not allow it.',
  'config/nginx-arguments': 'A directive has too few or too many arguments, or a block where none belongs.',
  'config/nginx-value': 'An argument of a directive cannot be read.',
  'config/nginx-duplicate': 'A directive, location, listen address or upstream stands twice.',
  'config/nginx-certificate': 'A server listens with ssl and its certificate or key is missing.',
  'config/nginx-conflicting-name': 'Two servers of one address have the same name; as in nginx the first one answers.',
  'config/nginx-never-used': 'A server, location or header that no request can reach.',
  'config/nginx-doubled-path': 'A root ends in the path of its location, so that the path is looked for twice.',
  'config/nginx-not-taken-over':
    'A directive that Steward does not take over; as an error when leaving it out would open what nginx closes.',
  'config/nginx-variable': 'A variable that Steward does not know in this place.',
  'config/nginx-instead': 'What Steward does instead of a directive that it does not need.',
} as const;

export type NginxCode = keyof typeof nginxCodes;
