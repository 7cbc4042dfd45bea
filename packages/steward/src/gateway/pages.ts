/** The small pages that the gateway itself answers with. They say what happened, never what software or version says it. */
import { STATUS_CODES } from 'node:http';

export interface Page {
  readonly contentType: string;
  readonly body: string;
}

const sentences: Readonly<Record<number, string>> = {
  400: 'The request could not be understood.',
  403: 'You may not see this.',
  404: 'There is nothing at this address.',
  405: 'This address does not take that kind of request.',
  408: 'The request took too long to arrive.',
  413: 'The request is larger than allowed here.',
  416: 'The file has no such part.',
  431: 'The request headers are larger than allowed here.',
  500: 'Something went wrong here.',
  501: 'The request needs something that is not offered here.',
  502: 'The program behind this address did not answer properly.',
  503: 'The program behind this address is not ready. Please try again in a moment.',
  504: 'The program behind this address took too long to answer.',
};

/** The words HTTP has for a status. */
export const statusText = (status: number): string => STATUS_CODES[status] ?? 'Unknown';

const html = (status: number, title: string, sentence: string): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${status} ${title}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:32rem;padding:0 1rem;color:#333;background:#fff}h1{font-size:1.4rem;font-weight:600}
@media(prefers-color-scheme:dark){body{color:#ccc;background:#181818}}</style></head>
<body><h1>${status} ${title}</h1><p>${sentence}</p></body></html>
`;

/** The page for `status`: HTML for a reader whose Accept header names it, else one line of text. */
export function pageFor(status: number, accept: string): Page {
  const title = statusText(status);
  const sentence = sentences[status] ?? '';
  if (accept.includes('text/html')) return { contentType: 'text/html; charset=utf-8', body: html(status, title, sentence) };
  return { contentType: 'text/plain; charset=utf-8', body: `${status} ${title}${sentence === '' ? '' : `: ${sentence}`}\n` };
}
