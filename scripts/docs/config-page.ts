/** docs/config.md: every section and key of steward.yaml, from the shapes that the reader checks files against. */
import { referredBy } from '../../packages/steward/src/config/check-shape.ts';
import { definitions, fileShape } from '../../packages/steward/src/config/sections/file.ts';
import { templateNames } from '../../packages/steward/src/config/sections/templates.ts';
import { variableNames, variablePrefixes } from '../../packages/steward/src/config/variable-names.ts';
import { anchorOf, code, page, sentence, table } from './markdown.ts';
import { explain, type Shape, shapeOf, typeOf, valuesOf } from './shape.ts';

interface Section {
  readonly title: string;
  readonly shape: Shape;
}

const root = shapeOf(fileShape);

/** The mapping with fixed keys inside a value, and how its place is written: shapes that hold themselves by their name. */
function innerOf(shape: Shape, title: string): Section | undefined {
  if (shape.$ref) return { title: shape.$ref.slice('#/$defs/'.length), shape: referredBy(shape, root) };
  if (shape.properties) return { title, shape };
  const values = valuesOf(shape);
  if (values) return innerOf(values, `${title}.NAME`);
  if (shape.items) return innerOf(shape.items, `${title}[]`);
  return shape.anyOf?.map((branch) => innerOf(branch, title)).find((found) => found !== undefined);
}

const definitionNames = Object.keys(definitions);

/** Sections within one, those that have a name of their own last. */
function innersOf({ title, shape }: Section): Section[] {
  const inners = Object.entries(shape.properties ?? {}).flatMap(
    ([key, value]) => innerOf(value, title === '' ? key : `${title}.${key}`) ?? [],
  );
  return inners.toSorted((a, b) => definitionNames.indexOf(a.title) - definitionNames.indexOf(b.title));
}

/** All sections in the order they are first named, each once; `defaults` has the keys of a service. */
function sectionsOf(): Section[] {
  const found: Section[] = [];
  const visit = (section: Section): void => {
    if (found.some(({ shape }) => sameShape(shape, section.shape))) return;
    found.push(section);
    for (const inner of innersOf(section)) if (inner.title !== 'defaults') visit(inner);
  };
  visit({ title: '', shape: root });
  return found;
}

const sameShape = (a: Shape, b: Shape): boolean => JSON.stringify(a) === JSON.stringify(b);

function typeAndLink(key: string, value: Shape, section: Section, sections: readonly Section[]): string {
  if (key === 'defaults' && section.title === '') return 'mapping: [the keys of a service](#servicesname)';
  const inner = innerOf(value, '');
  const target = inner && sections.find(({ shape }) => sameShape(shape, inner.shape));
  return target === undefined ? typeOf(value) : `${typeOf(value)}: [${target.title}](#${anchorOf(target.title)})`;
}

function keysOf(section: Section, sections: readonly Section[]): string {
  const rows = Object.entries(section.shape.properties ?? {}).map(([key, value]) => {
    const { meaning, byDefault } = explain(value.description);
    const isRequired = section.shape.required?.includes(key) ?? false;
    return [code(key), typeAndLink(key, value, section, sections), isRequired ? '**required**' : byDefault, sentence(meaning)];
  });
  return table(['Key', 'Type', 'Default', 'Meaning'], rows);
}

const intro = `# Reference of steward.yaml

\`steward check FILE\` tells every mistake in a file with its line and column; \`steward plan FILE\` tells what an apply would
do. For suggestions while you type, begin the file with this line and the path of the schema that stands beside this page:

\`\`\`yaml
# yaml-language-server: $schema=docs/steward.schema.json
\`\`\`

- A **duration** is one or more numbers with a unit: \`200ms\`, \`30s\`, \`5m\`, \`1h30m\`, \`2d\`. A plain \`0\` is allowed.
- A **size** is a number with KB, MB, GB or TB, in powers of 1024: \`64KB\`, \`50MB\`, \`1.5GB\`. A plain number is bytes.
- A relative **path** starts from the folder of the file that holds it.
- **NAME** in a heading stands for a name of your choice, \`[]\` for each entry of a list.
- A key that is not listed here is an error, so that a misspelt one is not silently without effect.`;

const templatesPart = `## Templates

The texts of a service may hold names in double braces, replaced for each instance: \`run\`, \`instanceName\`, \`cwd\`, \`socket\`,
\`env\`, \`envFile\`, \`ready\`, and \`file\` of \`stdout\` and \`stderr\`. A number may be padded: \`{{instance:02d}}\` writes 01 for 1.
Four braces, \`{{{{\`, write two.`;

const variablesPart = `## Variables

Texts that are said to be "with variables" hold names behind a dollar sign, \`$host\` or \`\${host}\`, filled in for each request. Besides
these there are \`$1\` to \`$9\` and the named groups of the last regular expression that fitted, those that \`set\` and
\`authRequest\` make, and those of \`variables:\`. The names are nginx's where nginx has them; letter case counts for nothing.`;

const variableRows = (): string[][] => [
  ...Object.entries(variableNames).map(([name, meaning]) => [code(`$${name}`), sentence(meaning)]),
  ...Object.entries(variablePrefixes).map(([prefix, meaning]) => [code(`$${prefix}NAME`), sentence(meaning)]),
];

/** The whole page. */
export function configPage(): string {
  const sections = sectionsOf();
  return page([
    intro,
    ...sections.flatMap((section) => [
      section.title === '' ? '## The file' : `## ${section.title}`,
      sentence(section.shape.description ?? ''),
      keysOf(section, sections),
    ]),
    templatesPart,
    table(
      ['Name', 'Stands for'],
      Object.entries(templateNames).map(([name, meaning]) => [code(`{{${name}}}`), meaning]),
    ),
    variablesPart,
    table(['Name', 'Stands for'], variableRows()),
  ]);
}

/** Keywords that only our own reader understands. */
const withoutFormats = (key: string, value: unknown): unknown =>
  key === 'format' && typeof value === 'string' && value.startsWith('steward-') ? undefined : value;

/** docs/steward.schema.json: the same shapes for editors. */
export function configSchema(): string {
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: 'urn:steward:schema:steward.yaml',
    title: 'steward.yaml',
    $comment: 'Generated by `npm run docs`; do not edit.',
    ...(fileShape as object),
  };
  return `${JSON.stringify(schema, withoutFormats, 2)}\n`;
}
