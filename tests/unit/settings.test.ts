import { chmod, mkdir, readFile, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withUpOptions } from '../../bin/up/options.ts';
import { kubernetesVersions } from '../../lib/binaries/versions.ts';
import {
  type Field,
  fields,
  optionOf,
  readSettings,
  type SettingOptions,
  settings,
  settingsFrom,
  settingsTemplate,
  usualOf,
  variableOf,
} from '../../lib/engine/settings.ts';
import { run } from '../../lib/host/run.ts';
import { scratchFolder } from '../fixtures.ts';

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
let path: string;
beforeAll(async () => {
  scratch = await scratchFolder();
  path = `${scratch.path}/hardway.yaml`;
});
afterAll(() => scratch.remove());

const reading = async (text: string) => {
  await writeFile(path, text);
  return readSettings(path);
};

test.each([
  ['no file', undefined],
  ['an empty file', ''],
  ['a file of comments', '# podCIDR: 10.1.0.0/16\n'],
])('%s gives nothing', async (_, text) => {
  expect(await (text === undefined ? readSettings(`${scratch.path}/none`) : reading(text))).toEqual({});
});

test('what is given is read, and nothing else', async () => {
  expect(await reading('podCIDR: 172.20.0.0/16\ninterface: eth1\ndeadline: 60\n')).toEqual({
    podCIDR: '172.20.0.0/16',
    interface: 'eth1',
    deadline: 60,
  });
});

describe('a malformed field is refused with the file, the field and its value', () => {
  test.each([
    ['podCIDR', 'everything', '"everything"'],
    ['podCIDR', '10.200.0.0', '"10.200.0.0"'],
    ['podCIDR', '10.200.0.1/16', '"10.200.0.1/16"'],
    ['podCIDR', '10.200.0.0/25', '"10.200.0.0/25"'],
    ['podCIDR', '10.0.0.0/4', '"10.0.0.0/4"'],
    ['podCIDR', '10.0.0.0/33', '"10.0.0.0/33"'],
    ['podCIDR', 'fd00::/64', '"fd00::/64"'],
    ['podCIDR', '16', '16'],
    ['podCIDR', '169.254.0.0/16', '"169.254.0.0/16"'],
    ['podCIDR', '0.0.0.0/8', '"0.0.0.0/8"'],
    ['podCIDR', '224.0.0.0/8', '"224.0.0.0/8"'],
    ['serviceCIDR', '127.0.0.0/24', '"127.0.0.0/24"'],
    ['serviceCIDR', '10.32.0.0/29', '"10.32.0.0/29"'],
    ['serviceCIDR', '', 'null'],
    ['domain', 'Cluster.Local', '"Cluster.Local"'],
    ['domain', '-x.local', '"-x.local"'],
    ['domain', '"a b"', '"a b"'],
    ['interface', '7', '7'],
    ['interface', '"a b"', '"a b"'],
    ['interface', '""', '""'],
    ['registryMirror', 'http://mirror.example', '"http://mirror.example"'],
    ['registryMirror', 'mirror.example', '"mirror.example"'],
    ['registryMirror', 'https://mirror.example?a=b', '"https://mirror.example?a=b"'],
    ['registryMirror', 'https://mirror.example#a', '"https://mirror.example#a"'],
    ['registryMirror', '"https://mirror.example/a\\nb"', '"https://mirror.example/a\\nb"'],
    ['registryMirror', '"https://mirror .example"', '"https://mirror .example"'],
    ['registryMirror', 'https://me:secret@mirror.example', '"https://***@mirror.example"'],
    ['deadline', 'soon', '"soon"'],
    ['deadline', '0', '0'],
    ['deadline', '3601', '3601'],
    ['deadline', '1.5', '1.5'],
  ])('%s: %s', async (field, written, value) => {
    await expect(reading(`${field}: ${written}\n`)).rejects.toMatchObject({
      name: 'UserError',
      message: expect.stringMatching(/such as|from 1 to/),
      next: expect.stringContaining(path),
    });
    await expect(reading(`${field}: ${written}\n`)).rejects.toThrow(
      `${path} is not right:\n  ${field}: ${value} is not `,
    );
  });
});

test('a mirror is an https address, or any on this machine', async () => {
  for (const registryMirror of [
    'https://mirror.example/path',
    'https://mirror.example:8443/a-b_c.d~e',
    'http://127.0.0.1:5000',
  ]) {
    expect(await reading(`registryMirror: ${registryMirror}\n`)).toEqual({ registryMirror });
  }
});

test('an unknown field is refused by its name, and the known ones are listed', async () => {
  const refused = reading('podCidr: 10.200.0.0/16\n');
  await expect(refused).rejects.toThrow('podCidr');
  await expect(refused).rejects.toMatchObject({
    next: expect.stringContaining('kubernetes, podCIDR, serviceCIDR, domain, interface, cni,'),
  });
});

test('every wrong field is told at once', async () => {
  await expect(reading('podCIDR: x\ndeadline: 0\ndomain: _\n')).rejects.toThrow(/podCIDR.*domain.*deadline/s);
});

test.each(['- podCIDR', 'words', '7'])('a file that holds no fields is refused: %s', async (text) => {
  await expect(reading(text)).rejects.toMatchObject({ name: 'UserError', message: expect.stringContaining(path) });
});

test('a domain whose names DNS cannot have is refused', async () => {
  for (const domain of [`${'a'.repeat(64)}.local`, `a${'.a'.repeat(126)}`])
    await expect(reading(`domain: ${domain}\n`)).rejects.toThrow(/domain: "a\S+ is not a DNS domain such as/);
  expect(await reading(`domain: ${'a'.repeat(63)}.local\n`)).toMatchObject({ domain: `${'a'.repeat(63)}.local` });
});

test('a value of any length, and any number of fields, are said in a few lines', async () => {
  const long = `domain: "${'a'.repeat(3e5)}"\n${Array.from({ length: 9000 }, (_, index) => `field${index}: 1\n`).join('')}`;
  const message = await reading(long).catch((error: Error) => error.message);
  expect(message).toMatch(/there is no field "field0"/);
  expect(String(message).length).toBeLessThan(1000);
});

describe('a settings file that root must not follow is refused', () => {
  const refused = expect.objectContaining({ name: 'UserError', next: expect.any(String) });
  const place = (name: string) => `${scratch.path}/${name}`;

  test('a folder, a FIFO, a device', async () => {
    await mkdir(place('folder'));
    await run('mkfifo', [place('fifo')]);
    await symlink('/dev/zero', place('device'));
    for (const [name, word] of Object.entries({ folder: 'a folder', fifo: 'a FIFO', device: 'a device' })) {
      await expect(readSettings(place(name))).rejects.toThrow(`${place(name)} is ${word}`);
      await expect(readSettings(place(name))).rejects.toEqual(refused);
    }
  });

  test('a link that leads to nothing or to itself', async () => {
    await symlink('/nowhere/at-all', place('dangling'));
    await symlink(place('loop'), place('loop'));
    await expect(readSettings(place('dangling'))).rejects.toThrow('a link that leads to nothing');
    await expect(readSettings(place('loop'))).rejects.toThrow('a link that leads to itself');
  });

  test('a file of gigabytes', async () => {
    await writeFile(place('huge'), '');
    await truncate(place('huge'), 3e9);
    await expect(readSettings(place('huge'))).rejects.toThrow('more than 1 MB');
  });

  test('a file that others may write', async () => {
    await writeFile(place('open'), 'deadline: 60\n');
    await chmod(place('open'), 0o666);
    await expect(readSettings(place('open'))).rejects.toThrow(`others than root may change ${place('open')}`);
  });

  test('a file in a folder that others may write, reached through a link', async () => {
    await mkdir(place('shared'));
    await writeFile(place('shared/settings'), 'deadline: 60\n');
    await chmod(place('shared'), 0o777);
    await symlink(place('shared/settings'), place('link'));
    await expect(readSettings(place('link'))).rejects.toThrow(`others than root may change ${place('shared')}`);
    await chmod(place('shared'), 0o755);
    expect(await readSettings(place('link'))).toMatchObject({ deadline: 60 });
  });
});

test.each(['podCIDR: *x', 'podCIDR: [', 'a: 1\na: 2', 'a: 1\n---\nb: 2', '\tx: 1'])(
  'what is not YAML is refused: %j',
  async (text) => {
    await expect(reading(text)).rejects.toMatchObject({
      name: 'UserError',
      message: expect.stringContaining(`${path} is not YAML`),
    });
  },
);

test('help lists the versions of Kubernetes that there are', () => {
  const option = withUpOptions(new Command()).options.find(({ long }) => long === '--kubernetes');
  expect(option?.argChoices).toEqual(kubernetesVersions());
});

/** Three values of each setting, none its default. */
const samples: Readonly<Record<Field, readonly [string, string, string]>> = {
  kubernetes: ['v1.35', 'v1.36', 'v1.35.8'],
  podCIDR: ['10.1.0.0/16', '10.2.0.0/16', '10.3.0.0/16'],
  serviceCIDR: ['10.4.0.0/24', '10.5.0.0/24', '10.6.0.0/24'],
  domain: ['one.test', 'two.test', 'three.test'],
  interface: ['eth1', 'eth2', 'eth3'],
  cni: ['bridge', 'calico', 'bridge'],
  pki: ['guide', 'components', 'guide'],
  caCert: ['/one/ca.pem', '/two/ca.pem', '/three/ca.pem'],
  caKey: ['/one/ca-key.pem', '/two/ca-key.pem', '/three/ca-key.pem'],
  certsTemplates: ['/one', '/two', '/three'],
  podSecurity: ['privileged', 'baseline', 'privileged'],
  supervisor: ['tmux', 'systemd', 'tmux'],
  source: ['go', 'release', 'dir'],
  registryMirror: ['https://one.example', 'https://two.example', 'https://three.example'],
  deadline: ['1', '2', '3'],
};

/** An option as commander keeps it. */
const typed = (field: Field, value: string): SettingOptions => {
  const option = withUpOptions(new Command()).options.find(({ long }) => long === optionOf(field));
  return { [option?.attributeName() ?? '']: value };
};

describe.each(fields)('%s', (field) => {
  const [option, variable, inFile] = samples[field];
  const asValue = (text: string) => (field === 'deadline' ? Number(text) : text);
  const places = async () => ({
    option: typed(field, option),
    variable: { [variableOf(field)]: variable },
    file: await reading(`${field}: ${inFile}\n`),
  });

  test('is taken from the option, else the variable, else the file, else it is as usual', async () => {
    const { option: options, variable: environment, file } = await places();
    expect(settingsFrom(options, environment, file)).toEqual({ [field]: asValue(option) });
    expect(settingsFrom({}, environment, file)).toEqual({ [field]: asValue(variable) });
    expect(settingsFrom({}, { [variableOf(field)]: '' }, file)).toEqual({ [field]: asValue(inFile) });
    expect(settingsFrom({}, {}, {})).toEqual({});
    expect(usualOf(field)).not.toBe('undefined');
  });

  test('is refused with the place that has a wrong value, and with what is right', () => {
    for (const [place, refused] of [
      [optionOf(field), () => settingsFrom(typed(field, 'n o'), {}, {})],
      [variableOf(field), () => settingsFrom({}, { [variableOf(field)]: 'n o' }, {})],
    ] as const) {
      expect(refused).toThrow(`${place}: `);
      expect(refused).toThrow(
        expect.objectContaining({ name: 'UserError', next: expect.stringMatching(/=|one of: /) }),
      );
    }
  });

  test('is in the documentation, with its places and what it is without them', async () => {
    const page = await readFile(join(import.meta.dirname, '../../docs/settings.md'), 'utf8');
    const usual = 'default' in settings[field] ? `\`${usualOf(field)}\`` : usualOf(field);
    const cells = [
      `\`${field}\``,
      `\`${optionOf(field)}\``,
      `\`${variableOf(field)}\``,
      usual,
      settings[field].meaning,
    ];
    expect(page.replaceAll(/ +/g, ' ')).toContain(`| ${cells.join(' | ')} |`);
  });
});

describe('the settings file that hardway init writes', () => {
  test('gives nothing, so that all is as usual', async () => {
    expect(await reading(settingsTemplate())).toEqual({});
  });

  test('has every setting as a line that is right when it is used, with the default where there is one', async () => {
    const used = settingsTemplate().replaceAll(/^# (?=\w+: \S+$)/gm, '');
    const given = await reading(used);
    expect(Object.keys(given)).toEqual(fields);
    for (const field of fields) if ('default' in settings[field]) expect(given[field]).toBe(settings[field].default);
  });

  test('says of each what it is, and which values there are', () => {
    for (const field of fields) expect(settingsTemplate()).toContain(settings[field].meaning.slice(1));
    expect(settingsTemplate()).toContain('One of calico, bridge.');
  });
});
