import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { expect, test } from 'vitest';

/**
 * The layers, lowest first. A file imports from lower layers and from its own folder, never from a neighbour
 * of its own rank. A file at the top of src/ is a layer of its own.
 */
const LAYERS: readonly (readonly string[])[] = [
  ['lib'],
  ['model'],
  ['encode', 'typemap', 'sql', 'wire', 'catalog', 'config.ts'],
  ['source', 'sink'],
  ['scheduler'],
  ['command', 'job-worker.ts'],
  ['proxy', 'admin'],
  ['server.ts'],
  ['main.ts'],
];

/** Who may read the options: every other part is handed its own slice of them. */
const CONFIG_READERS = new Set(['main.ts', 'server.ts']);
const LINES_MAX = 400;
const IMPORT =
  /^\s*(?:import|export)\b[^'";]*?\bfrom\s*'([^']+)'|^\s*import\s*'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/gm;

/** Every breach of the rules in `files` (path under src/ to text), as sentences. */
function breaches(files: ReadonlyMap<string, string>, packages: ReadonlySet<string>): string[] {
  const found = cycles(files);
  for (const [path, text] of files) {
    found.push(...fileBreaches(path, text));
    for (const name of importsOf(text)) found.push(...importBreaches(path, name, packages));
  }
  return found;
}

function fileBreaches(path: string, text: string): string[] {
  const lines = text.trimEnd().split('\n').length;
  return [
    ...(rankOf(path) < 0 ? [`${path}: its folder has no rank`] : []),
    ...(posix.basename(path) === 'index.ts' ? [`${path}: is a barrel`] : []),
    ...(/^\s*export default\b|\bas default\b/m.test(text) ? [`${path}: has a default export`] : []),
    ...(lines >= LINES_MAX ? [`${path}: has ${lines} lines`] : []),
  ];
}

function importBreaches(path: string, name: string, packages: ReadonlySet<string>): string[] {
  if (!name.startsWith('.')) {
    const known = name.startsWith('node:') || packages.has(packageOf(name));
    return known ? [] : [`${path}: imports ${name}, which is no run-time dependency`];
  }
  const target = resolve(path, name);
  if (target.startsWith('..')) return [`${path}: imports ${target} outside src/`];
  if (target === 'config.ts' && !CONFIG_READERS.has(path)) return [`${path}: reads config.ts`];
  if (layerOf(path) === layerOf(target) || rankOf(target) < rankOf(path)) return [];
  return [`${path}: imports ${target} of a rank that is not lower`];
}

/** Each cycle once, named by the file it was found from. */
function cycles(files: ReadonlyMap<string, string>): string[] {
  const state = new Map<string, 'open' | 'done'>();
  const found: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === 'done') return;
    if (state.get(path) === 'open') {
      found.push(`cycle: ${[...trail.slice(trail.indexOf(path)), path].join(' -> ')}`);
      return;
    }
    state.set(path, 'open');
    for (const name of importsOf(files.get(path) ?? '')) {
      if (name.startsWith('.')) visit(resolve(path, name), [...trail, path]);
    }
    state.set(path, 'done');
  };
  for (const path of files.keys()) visit(path, []);
  return found;
}

const importsOf = (text: string): string[] =>
  [...text.matchAll(IMPORT)].map((match) => match[1] ?? match[2] ?? match[3] ?? '');

const resolve = (path: string, name: string): string =>
  posix.normalize(posix.join(posix.dirname(path), name));

const layerOf = (path: string): string => path.split('/')[0] ?? '';

const rankOf = (path: string): number => LAYERS.findIndex((layer) => layer.includes(layerOf(path)));

const packageOf = (name: string): string =>
  name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/');

const root = join(import.meta.dirname, '..');

test('src/ keeps to its layers', () => {
  const paths = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' });
  const sources = paths.filter((path) => path.endsWith('.ts'));
  const files = new Map(
    sources.map((path) => [
      path.replaceAll('\\', '/'),
      readFileSync(join(root, 'src', path), 'utf8'),
    ]),
  );
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  expect(files.size).toBeGreaterThan(10);
  expect(breaches(files, new Set(Object.keys(dependencies)))).toEqual([]);
});

test.each<[string, Record<string, string>, string]>([
  [
    'a lower layer that reaches up',
    { 'model/a.ts': "import type { B } from '../sink/b.ts';", 'sink/b.ts': '' },
    'model/a.ts: imports sink/b.ts of a rank that is not lower',
  ],
  [
    'a neighbour of the same rank',
    { 'source/mysql/a.ts': "import {\n  b,\n} from '../../sink/b.ts';", 'sink/b.ts': '' },
    'source/mysql/a.ts: imports sink/b.ts of a rank that is not lower',
  ],
  [
    'a re-export',
    { 'proxy/a.ts': "export { b } from '../admin/b.ts';", 'admin/b.ts': '' },
    'proxy/a.ts: imports admin/b.ts of a rank that is not lower',
  ],
  [
    'a lazy import',
    { 'lib/a.ts': "const b = await import('../model/b.ts');", 'model/b.ts': '' },
    'lib/a.ts: imports model/b.ts of a rank that is not lower',
  ],
  [
    'a worker that knows statements',
    { 'job-worker.ts': "import { b } from './command/b.ts';", 'command/b.ts': '' },
    'job-worker.ts: imports command/b.ts of a rank that is not lower',
  ],
  [
    'options read below the server',
    { 'proxy/a.ts': "import type { Config } from '../config.ts';", 'config.ts': '' },
    'proxy/a.ts: reads config.ts',
  ],
  [
    'a cycle',
    { 'lib/a.ts': "import { b } from './b.ts';", 'lib/b.ts': "import { a } from './a.ts';" },
    'cycle: lib/a.ts -> lib/b.ts -> lib/a.ts',
  ],
  [
    'test code in the program',
    { 'sink/a.ts': "import { b } from '../../integration/b.ts';" },
    'sink/a.ts: imports ../integration/b.ts outside src/',
  ],
  [
    'a development dependency',
    { 'sink/a.ts': "import { b } from '@duckdb/node-api/lib';" },
    'sink/a.ts: imports @duckdb/node-api/lib, which is no run-time dependency',
  ],
  ['a folder without a rank', { 'utils/a.ts': '' }, 'utils/a.ts: its folder has no rank'],
  ['a barrel', { 'lib/index.ts': '' }, 'lib/index.ts: is a barrel'],
  ['a default export', { 'lib/a.ts': 'export default 1;' }, 'lib/a.ts: has a default export'],
  ['a long file', { 'lib/a.ts': 'a;\n'.repeat(400) }, 'lib/a.ts: has 400 lines'],
])('%s is found', (_, files, breach) => {
  expect(breaches(new Map(Object.entries(files)), new Set(['pg']))).toEqual([breach]);
});

test('what the layers allow is no breach', () => {
  const files = {
    'server.ts': "import { a } from './proxy/a.ts';\nimport { c } from './config.ts';",
    'proxy/a.ts': "import { once } from 'node:events';\nimport { l } from '../lib/l.ts';",
    'lib/l.ts': "import pg from 'pg';\nimport { m } from './m.ts';",
    'lib/m.ts': '// imports nothing from anywhere',
    'config.ts': '',
  };
  expect(breaches(new Map(Object.entries(files)), new Set(['pg']))).toEqual([]);
});
