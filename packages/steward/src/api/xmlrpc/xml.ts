/**
 * XML-RPC (xmlrpc.com/spec.md): a call out of XML, an answer or a fault into XML. Pure.
 *
 * Nothing of a document type is taken: no entities but those of XML itself, so that a small text cannot become a large one.
 */
import { XMLParser, XMLValidator } from 'fast-xml-parser';

export type Value = string | number | boolean | readonly Value[] | { readonly [name: string]: Value };

export interface MethodCall {
  readonly method: string;
  readonly params: readonly Value[];
}

/** The text is no call: malformed XML, a value that is not what its tag says, no method. */
export class NoCall extends Error {}

/** A call nests values in arrays and structs: multicall needs 20 tags. */
const deepest = 60;

const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: true,
  parseTagValue: false,
  trimValues: false,
  processEntities: false,
  cdataPropName: '#cdata',
  maxNestedTags: deepest,
});

/** The parser's form when it keeps the order: one key, the tag, with its children; `#text` with a text. */
type Node = { readonly [tag: string]: readonly Node[] | string };

const tagOf = (node: Node): string => Object.keys(node)[0] ?? '';
const childrenOf = (node: Node): readonly Node[] => {
  const inner = node[tagOf(node)];
  return typeof inner === 'string' || inner === undefined ? [] : inner;
};
const isText = (node: Node): boolean => tagOf(node) === '#text' || tagOf(node) === '#cdata';
const elementsOf = (node: Node): readonly Node[] => childrenOf(node).filter((child) => !isText(child));

const ownEntities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** Replaces character references. @throws NoCall for one that XML itself does not have. */
function decode(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(\w+))?(;?)/g, (whole, decimal, hex, name, end) => {
    const code = decimal === undefined ? (hex === undefined ? undefined : Number.parseInt(hex, 16)) : Number(decimal);
    const found = code === undefined ? ownEntities[name] : code <= 0x10ffff ? String.fromCodePoint(code) : undefined;
    if (found === undefined || end === '') throw new NoCall(`${whole} stands for nothing`);
    return found;
  });
}

function textOf(node: Node): string {
  return childrenOf(node)
    .map((child) => {
      if (tagOf(child) === '#text') return decode(child['#text'] as string);
      if (tagOf(child) !== '#cdata') throw new NoCall(`<${tagOf(child)}> stands in <${tagOf(node)}>`);
      return childrenOf(child)
        .map((part) => part['#text'] as string)
        .join('');
    })
    .join('');
}

function numberOf(node: Node, pattern: RegExp): number {
  const text = textOf(node).trim();
  if (!pattern.test(text)) throw new NoCall(`"${text.slice(0, 40)}" is no <${tagOf(node)}>`);
  return Number(text);
}

function only(nodes: readonly Node[], tag: string, within: string): Node {
  const [first, ...rest] = nodes.filter((node) => tagOf(node) === tag);
  if (first === undefined || rest.length > 0) throw new NoCall(`<${within}> needs one <${tag}>`);
  return first;
}

function structOf(node: Node): Value {
  const members = elementsOf(node).map((member) => {
    const parts = elementsOf(member);
    return [textOf(only(parts, 'name', 'member')), readValue(only(parts, 'value', 'member'))] as const;
  });
  return Object.fromEntries(members);
}

const integer = /^[+-]?\d{1,15}$/;
const readers: Readonly<Record<string, (node: Node) => Value>> = {
  string: textOf,
  int: (node) => numberOf(node, integer),
  i4: (node) => numberOf(node, integer),
  double: (node) => numberOf(node, /^[+-]?\d{1,20}(\.\d{1,20})?$/),
  boolean: (node) => textOf(node).trim() === '1',
  base64: (node) => Buffer.from(textOf(node), 'base64').toString('utf8'),
  'dateTime.iso8601': textOf,
  array: (node) => elementsOf(only(elementsOf(node), 'data', 'array')).map(readValue),
  struct: structOf,
};

/** A value without a type is a string. */
function readValue(node: Node): Value {
  const [typed, ...rest] = elementsOf(node);
  if (typed === undefined) return textOf(node);
  const read = Object.hasOwn(readers, tagOf(typed)) ? readers[tagOf(typed)] : undefined;
  if (read === undefined || rest.length > 0) throw new NoCall(`<${tagOf(typed)}> is no type of a value`);
  return read(typed);
}

function parseTree(text: string): readonly Node[] {
  if (/<!(?!--|\[CDATA\[)/.test(text)) throw new NoCall('a document type is not taken');
  if (XMLValidator.validate(text) !== true) throw new NoCall('it is not well-formed XML');
  try {
    return parser.parse(text) as readonly Node[];
  } catch (error) {
    throw new NoCall((error as Error).message);
  }
}

/** The call that `text` holds. @throws NoCall when it holds none. */
export function parseCall(text: string): MethodCall {
  const roots = parseTree(text).filter((node) => !isText(node) && !tagOf(node).startsWith('?'));
  const parts = elementsOf(only(roots, 'methodCall', 'the text'));
  const method = textOf(only(parts, 'methodName', 'methodCall'));
  if (method === '') throw new NoCall('<methodName> is empty');
  const params = parts.filter((node) => tagOf(node) === 'params').flatMap(elementsOf);
  return { method, params: params.map((param) => readValue(only(elementsOf(param), 'value', 'param'))) };
}

const impossible = /[\0-\x08\x0B\x0C\x0E-\x1F\uFFFE\uFFFF]/g;
const escapes: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '\r': '&#13;' };

/** A text as it stands in XML. What XML cannot hold, such as the escape character of colours, becomes U+FFFD. */
const escaped = (text: string): string =>
  text
    .toWellFormed()
    .replace(impossible, '\uFFFD')
    .replace(/[&<>\r]/g, (char) => escapes[char] as string);

/** The largest int of XML-RPC, which larger numbers are cut to as supervisord does. */
const largest = 2 ** 31 - 1;

function written(value: Value): string {
  if (typeof value === 'string') return `<value><string>${escaped(value)}</string></value>`;
  if (typeof value === 'boolean') return `<value><boolean>${value ? 1 : 0}</boolean></value>`;
  if (typeof value === 'number') return `<value><int>${Math.trunc(Math.max(-largest - 1, Math.min(largest, value)))}</int></value>`;
  if (Array.isArray(value)) return `<value><array><data>${value.map(written).join('')}</data></array></value>`;
  const members = Object.entries(value).map(([name, inner]) => `<member><name>${escaped(name)}</name>${written(inner)}</member>`);
  return `<value><struct>${members.join('')}</struct></value>`;
}

const prolog = "<?xml version='1.0'?>\n";

/** What a method gave back. */
export const writeAnswer = (value: Value): string =>
  `${prolog}<methodResponse><params><param>${written(value)}</param></params></methodResponse>\n`;

/** Why a method refused. */
export const writeFault = (code: number, text: string): string =>
  `${prolog}<methodResponse><fault>${written({ faultCode: code, faultString: text })}</fault></methodResponse>\n`;
