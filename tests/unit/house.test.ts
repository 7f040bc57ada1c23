import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect, test } from 'vitest';
import { run } from '../../lib/host/run.ts';
import { stepIds } from '../../steps/index.ts';

const project = join(import.meta.dirname, '../..');
const tracked = (await run('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: project })).stdout
  .split('\n')
  .filter((file) => file !== '');
const read = (file: string): string => readFileSync(join(project, file), 'utf8');
const sources = tracked.filter((file) => file.endsWith('.ts'));

/** What a file imports: a file of ours relative to the project, or a package's name. `import type` counts as well. */
const importsOf = (file: string): string[] =>
  [...read(file).matchAll(/^\s*(?:import|export|\})\b[^'"\n;]*?['"]([^'"\n]+)['"]|\bimport\(\s*['"]([^'"\n]+)['"]/gm)]
    .map((match) => match[1] ?? match[2] ?? '')
    .map((name) => (name.startsWith('.') ? relative(project, join(project, dirname(file), name)) : name));

const imports = new Map(sources.map((file) => [file, importsOf(file)]));

/** The floors of the house, the highest first; rooms on one floor may visit each other. */
const floors = [
  /^bin\//,
  /^exercises\//,
  /^steps\//,
  /^lib\/(pki|binaries|daemons|cluster|vm)\//,
  /^lib\/engine\//,
  /^lib\/host\//,
];
const floorOf = (file: string): number => floors.findIndex((floor) => floor.test(file));

test('the imports of this house are found', () => {
  expect(imports.get('tests/unit/house.test.ts')).toContain('lib/host/run.ts');
  expect(imports.get('lib/host/run.ts')).toContain('execa');
});

test('every source of the product is on a floor', () => {
  const others = sources.filter((file) => !/^(tests|bench|scripts)\/|\.config\.ts$/.test(file));
  expect(others.filter((file) => floorOf(file) < 0)).toEqual([]);
});

test('arrows point down only: bin, steps, what steps are made of, engine, host', () => {
  const upwards = [...imports].flatMap(([file, names]) =>
    names
      .filter((name) => floorOf(file) >= 0 && floorOf(name) >= 0 && floorOf(name) < floorOf(file))
      .map((name) => `${file} -> ${name}`),
  );
  expect(upwards).toEqual([]);
});

/** The rooms of bin/, each with those that it may enter. `program` and `shared` are the files outside of any folder. */
const rooms: Readonly<Record<string, readonly string[]>> = {
  program: ['commands', 'shared'],
  commands: ['up', 'reset', 'teach', 'vm', 'doctor', 'manual', 'certs', 'bundle', 'practice', 'shared'],
  bundle: ['shared'],
  certs: ['up', 'teach', 'shared'], // shows the restarts as an up does, and a certificate as explain does
  doctor: ['up', 'shared'], // judges the machine as an up does
  manual: ['shared'],
  practice: ['reset', 'teach', 'shared'], // takes changes back as a reset does, and records what a learner has done
  vm: ['up', 'teach', 'shared'], // reads the flags of an up before there is a machine
  up: ['teach', 'shared'], // shows the lesson of a step and pauses after it
  reset: ['shared'],
  teach: ['shared'],
  shared: [],
};
const outsideOfFolders: Readonly<Record<string, string>> = {
  'bin/cli.ts': 'program',
  'bin/table.ts': 'program',
  'bin/interrupt.ts': 'shared',
  'bin/lab.ts': 'shared',
  'bin/typed.ts': 'shared',
  'bin/values.ts': 'shared',
};
const roomOf = (file: string): string => outsideOfFolders[file] ?? /^bin\/([^/]+)\//.exec(file)?.[1] ?? file;

test('every source in bin/ is in a room, and rooms enter one another only where they may', () => {
  const inBin = [...imports].filter(([file]) => file.startsWith('bin/'));
  expect(inBin.map(([file]) => file).filter((file) => !Object.hasOwn(rooms, roomOf(file)))).toEqual([]);
  const wrong = inBin.flatMap(([file, names]) =>
    names
      .filter((name) => name.startsWith('bin/') && roomOf(name) !== roomOf(file))
      .filter((name) => !rooms[roomOf(file)]?.includes(roomOf(name)))
      .map((name) => `${file} -> ${name}`),
  );
  expect(wrong).toEqual([]);
});

test('the product needs nothing from tests, bench or scripts', () => {
  const wrong = [...imports].flatMap(([file, names]) =>
    names
      .filter((name) => floorOf(file) >= 0 && /^(tests|bench|scripts)\//.test(name))
      .map((name) => `${file} -> ${name}`),
  );
  expect(wrong).toEqual([]);
});

test('no file imports itself, however far around', () => {
  const circles: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' -> '));
    if (done.has(file) || path.includes(file)) return;
    for (const name of imports.get(file) ?? []) visit(name, [...path, file]);
    done.add(file);
  };
  for (const file of sources) visit(file, []);
  expect(circles).toEqual([]);
});

test('every source is in the JavaScript of the oldest Node that package.json promises', () => {
  // `using` is a syntax error before Node 24; tsc translates it where asked to and so does not object.
  const tooNew = sources.filter((file) => /^\s*(?:await\s+)?using\s+\w+\s*=/m.test(read(file)));
  expect(tooNew).toEqual([]);
});

test('everything imported from the project exists', () => {
  const missing = [...imports].flatMap(([file, names]) =>
    names.filter((name) => name.endsWith('.ts') && !sources.includes(name)).map((name) => `${file} -> ${name}`),
  );
  expect(missing).toEqual([]);
});

test('only the host, the VM and the sources of binaries start processes', () => {
  const starters = /^(node:)?child_process$|^execa$|^zx(\/|$)/;
  const wrong = [...imports]
    .filter(([file]) => floorOf(file) >= 0 && !/^lib\/(host|vm)\//.test(file))
    .flatMap(([file, names]) => names.filter((name) => starters.test(name)).map((name) => `${file} -> ${name}`));
  expect(wrong).toEqual([]);
});

/** A comment, a string, a regular expression (only where no value can stand before it), or one character. */
const token =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'((?:\\.|[^'\\\n])*)'|"((?:\\.|[^"\\\n])*)"|(?<=[(,=:[!&|?{};>]\s*)\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n])+\/\w*|[\s\S]/y;
/** The text of a template up to its end or to what is put into it. */
const templateText = /(?:\\.|\$(?!\{)|[^`\\$])*/y;

/** The string literals of a file, comments left out; a template counts where nothing is put into it. */
const literalsIn = (file: string): readonly string[] => {
  const text = read(file);
  const found: string[] = [];
  let at = 0;
  const next = (pattern: RegExp): RegExpExecArray => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (!match) throw new Error(`${file}: ${pattern} does not match at ${at}`);
    at += match[0].length;
    return match;
  };
  const template = (): void => {
    const [whole] = next(templateText);
    if (text[at] === '`') found.push(whole);
    while (text[at] === '$') {
      at += 2;
      code('}');
      next(templateText);
    }
    at += 1;
  };
  const code = (end?: string): void => {
    while (at < text.length) {
      const [one, single, double] = next(token);
      const literal = single ?? double;
      if (literal !== undefined) found.push(literal);
      else if (one === '`') template();
      else if (one === '{') code('}');
      else if (one === end) return;
    }
  };
  code();
  return found;
};

/** Literals that are a step's id and are meant as another word, each with its reason. */
const otherWords: Readonly<Record<string, string>> = {
  'lib/engine/settings.ts network': 'what --cni chooses, in the message of a wrong value',
  'lib/vm/container.ts containerd': 'a folder of a VM, which those that are there already have',
};

test('only a step names a step: no string literal in bin or lib is the id of one', () => {
  expect(literalsIn('steps/kubelet.ts')).toEqual(expect.arrayContaining(['kubelet', 'cgroupfs']));
  const named = sources
    .filter((file) => /^(bin|lib)\//.test(file))
    .flatMap((file) =>
      literalsIn(file)
        .filter((text) => stepIds.includes(text))
        .map((text) => `${file} ${text}`),
    );
  expect(Object.keys(otherWords).length).toBeLessThanOrEqual(5);
  expect([...new Set(named)].toSorted()).toEqual(Object.keys(otherWords).toSorted());
});

/** Files that read by themselves: the project's own, the kernel's, VMs' of ours, and what they have looked at before. */
const readers =
  /^(bin\/teach\/(explain|lesson)|lib\/(binaries\/versions|cluster\/manifest|engine\/lock|vm\/\w+|host\/(files|facts|mounts|cgroups|proc|sysctl|snapshot\/(files|kernel))))\.ts$/;

test('what others may have put at a path is read by lib/host/files.ts, which waits for no writer of a FIFO', () => {
  const sourcesOfOurs = sources.filter((file) => /^(bin|lib|steps)\//.test(file));
  const reading = sourcesOfOurs.filter((file) => /^import .*\breadFile(Sync)?\b/m.test(read(file)));
  expect(reading.length).toBeGreaterThan(5);
  expect(reading.filter((file) => !readers.test(file))).toEqual([]);
});

test('a command parses its options and calls one use: it has at most sixty lines', () => {
  const commands = tracked.filter((file) => file.startsWith('bin/commands/'));
  expect(commands.length).toBeGreaterThan(10);
  expect(commands.filter((file) => read(file).trimEnd().split('\n').length > 60)).toEqual([]);
});

test('no test is skipped without a reason, none runs alone', () => {
  const tests = sources.filter((file) => file.startsWith('tests/'));
  const wordless = /\b(?:test|it|describe|suite)\.(?:skip|skipIf|runIf|only|todo)\b/;
  expect(tests.filter((file) => wordless.test(read(file)))).toEqual([]);
});

test('there is no default export and no barrel file', () => {
  const named = sources.filter((file) => !file.endsWith('.config.ts'));
  expect(named.filter((file) => /^export default\b/m.test(read(file)))).toEqual([]);
  expect(named.filter((file) => /^export \*/m.test(read(file)))).toEqual([]);
});

test('the lock file names no place to download from', () => {
  const lock = read('package-lock.json');
  expect(lock).not.toContain('"resolved"');
  expect(lock).not.toMatch(/https?:\/\/[^"]*\.tgz/);
});

test('every package that Linux with glibc installs has an integrity', () => {
  const lock = JSON.parse(read('package-lock.json')) as {
    packages: Record<string, { integrity?: string; os?: string[]; libc?: string[]; cpu?: string[] }>;
  };
  const ours = Object.entries(lock.packages).filter(
    ([name, { os, libc, cpu }]) =>
      name !== '' &&
      (os?.includes('linux') ?? true) &&
      (libc?.includes('glibc') ?? true) &&
      (cpu?.some((one) => one === 'x64' || one === 'arm64') ?? true),
  );
  expect(ours.length).toBeGreaterThan(0);
  expect(ours.filter(([, { integrity }]) => integrity === undefined).map(([name]) => name)).toEqual([]);
});

test('no tracked file names a machine path or a package registry', () => {
  // Put together here, so that this file does not hold them.
  const forbidden = [`/${'work'}/`, ['registry', 'npmjs', 'org'].join('.'), ['proxy', 'golang', 'org'].join('.')];
  const found = tracked
    .filter((file) => file !== 'package-lock.json' && !/\.(png|svg|gz|ico)$/.test(file))
    .flatMap((file) => forbidden.filter((word) => read(file).includes(word)).map((word) => `${file}: ${word}`));
  expect(found).toEqual([]);
});
