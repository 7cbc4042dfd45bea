/** Values of headers with variables in them. */
import { headerValue } from '../connection/headers.ts';
import type { Scope } from './variables.ts';
import { compileTemplate, constantOf, type Template, type TemplateForm } from './variables.ts';

/** The template of a header's value. One without variables is made safe here; what variables make of the others has to be, each time (`headerValue`). */
export function compileHeader(text: string, scope: Scope, form?: TemplateForm): Template {
  const template = compileTemplate(text, scope, form);
  const constant = constantOf(template);
  return constant === undefined || constant === '' ? template : [headerValue(constant)];
}
