/** A service while it is made from what a file says: its templates, and where to tell what is wrong with them. Pure. */
import { isAbsolute, resolve } from 'node:path';
import { addressName } from './address.ts';
import type { ConfigCode } from './codes.ts';
import type { Endpoint } from './model.ts';
import type { Problem } from './problem.ts';
import type { Scope } from './scope.ts';
import { templateNames } from './sections/templates.ts';
import { baseOf, textOfSecret } from './stored-secret.ts';
import { type Lookup, render } from './template.ts';

export interface Naming {
  readonly service: string;
  readonly group: string;
  readonly number: number;
  readonly count: number;
  /** It is the copy that stands in for the others, at a port of its own if it has one. */
  readonly standIn?: { readonly port: number };
}

const knownNames = Object.keys(templateNames);

/** How secrets may stand in a text: not at all, as text, or as bytes that latin1 stands for. */
type SecretForm = 'none' | 'text' | 'bytes';

const asLatin1 = (text: string): string => Buffer.from(text).toString('latin1');

/** One instance being made: its templates, and where to tell what is wrong with them. */
export class ServiceDraft {
  readonly scope: Scope;
  readonly pointer: string;
  readonly naming: Naming;
  endpoint: Endpoint | undefined;
  readonly secretsUsed = new Set<string>();
  /** Stored ones with their marks. */
  readonly stored = new Map<string, string>();
  /** Why it cannot be started: the first stored secret that cannot be had. */
  lacks: string | undefined;

  constructor(scope: Scope, pointer: string, naming: Naming) {
    this.scope = scope;
    this.pointer = pointer;
    this.naming = naming;
  }

  /** The text of a field with its templates replaced. Problems are told once per service, for its first instance. */
  text(template: string, field: string, secrets: 'none' | 'text' = 'none'): string {
    return this.#render(template, field, this.#lookup(secrets, field));
  }

  /** The same as bytes, so that a secret can be any. */
  bytes(template: string, field: string): Buffer {
    const lookup = this.#lookup('bytes', field);
    const inLatin1: Lookup = (name) => {
      const found = lookup(Buffer.from(name, 'latin1').toString());
      const isPlain = found !== undefined && 'value' in found && !name.startsWith('secret.');
      return isPlain ? { value: asLatin1(String(found.value)) } : found;
    };
    return Buffer.from(this.#render(asLatin1(template), field, inLatin1), 'latin1');
  }

  #render(template: string, field: string, lookup: Lookup): string {
    const { text, mistakes } = render(template, lookup, knownNames);
    for (const { message, hint } of mistakes) this.tell(field, 'config/template', message, hint);
    return text;
  }

  tell(field: string, code: ConfigCode, message: string, hint: string, severity: Problem['severity'] = 'error'): void {
    if (this.naming.number !== this.firstNumber) return;
    this.scope.tell(
      this.pointer + field,
      code,
      `services.${this.naming.service}${field.replace(/#key$/, '').replaceAll('/', '.')}: ${message}`,
      hint,
      severity,
    );
  }

  firstNumber = 0;
  /** Of the instance, once it is known. */
  name = '';

  #lookup(secrets: SecretForm, field: string): Lookup {
    const { service, group, number, count } = this.naming;
    return (name) => {
      if (name === 'instance') return { value: number };
      if (name === 'instances') return { value: count };
      if (name === 'service') return { value: service };
      if (name === 'group') return { value: group };
      if (name === 'host') return { value: this.scope.hostname };
      if (name === 'port' || name === 'socket' || name === 'endpoint') return this.#address(name);
      if (name.startsWith('env.')) return this.#variable(name.slice(4));
      if (name.startsWith('secret.')) return this.#secret(name.slice(7), secrets, field);
      return undefined;
    };
  }

  #address(name: 'port' | 'socket' | 'endpoint'): ReturnType<Lookup> {
    const { endpoint } = this;
    if (name === 'socket')
      return endpoint?.kind === 'unix'
        ? { value: endpoint.path }
        : { missing: '{{socket}} stands for nothing: this service has no socket', hint: 'Add socket: true.' };
    if (name === 'port')
      return endpoint?.kind === 'tcp'
        ? { value: endpoint.port }
        : { missing: '{{port}} stands for nothing: this service has no port', hint: 'Add port: NUMBER.' };
    if (endpoint === undefined)
      return {
        missing: '{{endpoint}} stands for nothing: this service has no port and no socket',
        hint: 'Add port: NUMBER or socket: true.',
      };
    if (endpoint.kind === 'unix') return { value: 'localhost' };
    return { value: addressName(endpoint) };
  }

  #variable(name: string): ReturnType<Lookup> {
    const value = this.scope.env[name];
    return value === undefined
      ? { missing: `${name} is not set in Steward's environment`, hint: `Set it before starting Steward, or write the value here.` }
      : { value };
  }

  #secret(name: string, form: SecretForm, field: string): ReturnType<Lookup> {
    if (form === 'none')
      return {
        missing: `{{secret.${name}}} may stand in env only`,
        hint: 'Everybody on this machine can read command lines: give the program the secret by env.',
      };
    const found = this.scope.secret(name);
    if (found === undefined)
      return {
        missing: `there is no secret "${name}"`,
        hint: `Store it with \`steward secret set ${baseOf(name)}\`, or declare it under secrets: with file: or env:.`,
      };
    this.secretsUsed.add(name);
    if (typeof found === 'string') return this.#unseen(name, field, found);
    if ('declared' in found) return { value: form === 'bytes' ? asLatin1(found.declared) : found.declared };
    const value = 'lacks' in found || form === 'bytes' ? found : textOfSecret(found.bytes);
    if ('lacks' in value) return this.#lacking(name, field, value.lacks);
    this.stored.set(name, 'mark' in found ? found.mark : '');
    return { value: 'text' in value ? value.text : Buffer.from(value.bytes).toString('latin1') };
  }

  #unseen(name: string, field: string, found: 'unseen' | 'assumed'): { value: string } {
    const message = `secret "${name}" is not declared, so it has to be stored; no daemon runs that could say whether it is`;
    if (found === 'unseen') this.tell(field, 'config/secret-unseen', message, '`steward secret list` shows what is stored.', 'note');
    return { value: '' };
  }

  /** It does not keep the other services from being applied. */
  #lacking(name: string, field: string, why: string): { value: string } {
    this.lacks ??= `secret "${name}" cannot be had: ${why}`;
    this.stored.set(name, '');
    const hint = 'The service is not started until it can be; what runs of it is left as it is.';
    this.tell(field, 'config/secret-lacking', `secret "${name}" cannot be had: ${why}`, hint, 'warning');
    return { value: '' };
  }

  path(template: string, field: string): string {
    const text = this.text(template, field);
    return isAbsolute(text) ? text : resolve(this.scope.folder, text);
  }
}
