import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { parse as parseToml, stringify as stringifyToml } from 'smol-toml';
import { afterAll, beforeAll, beforeEach, describe, expect, type TestContext, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { binaryPath } from '../../lib/binaries/cache.ts';
import { imageReference, kubernetesVersions, productOf, usualKubernetes } from '../../lib/binaries/versions.ts';
import { commandLine, type Daemon } from '../../lib/engine/daemon.ts';
import type { Lab } from '../../lib/engine/lab.ts';
import { paths } from '../../lib/host/paths.ts';
import { conflist } from '../../steps/bridge.ts';
import { configuration as containerdConfiguration } from '../../steps/containerd.ts';
import { stepsWith } from '../../steps/index.ts';
import { configuration as kubeProxyConfiguration } from '../../steps/kube-proxy.ts';
import { configuration as kubeletConfiguration } from '../../steps/kubelet.ts';
import { needsRoot, oddLab, plainLab, scratchFolder } from '../fixtures.ts';
import { coldCache, labBinaries, runAlone } from './lab-binaries.ts';

let binaries: ReadonlyMap<string, string>;
let scratch: Awaited<ReturnType<typeof scratchFolder>>;
beforeAll(async () => {
  scratch = await scratchFolder();
  binaries = await labBinaries();
}, coldCache);
afterAll(() => scratch.remove());

/** The program that a lab runs. One of Kubernetes is of the lab's version; an older one may not be in the cache. */
const binary = (name: string, { kubernetes, machine }: Lab = plainLab): string => {
  const { name: product, product: found } = productOf(name, kubernetes);
  const path = binaryPath(paths.cache, machine.arch, product, found.version, name);
  return kubernetes === usualKubernetes() || product !== 'kubernetes' ? (binaries.get(name) ?? '') : path;
};
const needsProgram = (name: string, lab: Lab, { skip }: TestContext): void =>
  skip(
    !existsSync(binary(name, lab)),
    `${name} ${lab.kubernetes} is not in the cache; hardway vm up -- --kubernetes ${lab.kubernetes} brings it`,
  );
const write = async (name: string, text: string): Promise<string> => {
  await writeFile(`${scratch.path}/${name}`, text);
  return `${scratch.path}/${name}`;
};

const labs = [
  ['plain', plainLab],
  ['odd', { ...oddLab, kubernetes: usualKubernetes() }],
  ...kubernetesVersions()
    .slice(1)
    .map((kubernetes) => [kubernetes, { ...plainLab, kubernetes }] as const),
] as const satisfies readonly (readonly [string, Lab])[];

const daemons = labs.flatMap(([which, lab]) =>
  stepsWith(lab).flatMap(({ daemon }) => (daemon ? [[daemon.name, which, daemon, lab] as const] : [])),
);

/** Every flag is parsed before --help is answered, so an unknown one, or a value of the wrong type, ends badly. */
const parseFlags = (daemon: Daemon, lab: Lab) =>
  runAlone([...commandLine({ ...daemon, binary: binary(daemon.name, lab) }), '--help']);

describe.each(daemons)('the real %s (%s lab)', (_, __, daemon, lab) => {
  beforeEach((context) => needsProgram(daemon.name, lab, context));

  test('knows each flag that we set, takes its value, and calls none deprecated', async () => {
    const { code, stdout, stderr } = await parseFlags(daemon, lab);
    expect(stderr).not.toMatch(/deprecated|unknown|not defined/i);
    expect(code, stderr).toBe(0);
    expect(stdout + stderr).not.toBe('');
  });

  test('would refuse a flag that it does not know', async () => {
    const flags = [...daemon.flags, { name: 'no-such-flag', value: '1' }];
    expect((await parseFlags({ ...daemon, flags }, lab)).code).not.toBe(0);
  });
});

describe('the real containerd', () => {
  const dump = (file: string) => runAlone([binary('containerd'), '--config', file, 'config', 'dump']);
  interface Dump {
    plugins: {
      'io.containerd.cri.v1.images': { pinned_images: { sandbox: string } };
      'io.containerd.cri.v1.runtime': {
        restrict_oom_score_adj: boolean;
        cni: { bin_dirs: string[]; conf_dir: string };
        containerd: { runtimes: { runc: { options: Record<string, unknown> } } };
      };
    };
  }

  test.each(labs)('takes our settings, and knows each of them (%s lab)', async (which, lab) => {
    const { code, stdout, stderr } = await dump(
      await write(`${which}.toml`, stringifyToml(containerdConfiguration(lab))),
    );
    expect([code, stderr]).toEqual([0, '']);
    const { plugins } = parseToml(stdout) as unknown as Dump;
    expect(plugins['io.containerd.cri.v1.images'].pinned_images.sandbox).toBe(imageReference('pause', lab.kubernetes));
    const runtime = plugins['io.containerd.cri.v1.runtime'];
    expect(runtime.restrict_oom_score_adj).toBe(!lab.machine.canLowerOomScoreAdj);
    expect(runtime.cni).toMatchObject({ bin_dirs: ['/opt/cni/bin'], conf_dir: '/etc/cni/net.d' });
    // runc's options are passed on unread: only the defaults tell whether ours are spelt right.
    const { stdout: defaults } = await runAlone([binary('containerd'), 'config', 'default']);
    const known = (parseToml(defaults) as unknown as Dump).plugins['io.containerd.cri.v1.runtime'];
    const { options } = runtime.containerd.runtimes.runc;
    expect(Object.keys(options).toSorted()).toEqual(Object.keys(known.containerd.runtimes.runc.options).toSorted());
    expect(options['SystemdCgroup']).toBe(lab.machine.cgroup === 'v2');
  });

  test('would tell of a setting that it does not know', async () => {
    const wrong = stringifyToml(containerdConfiguration(plainLab)).replace('pinned_images', 'pinned_pictures');
    expect((await dump(await write('wrong.toml', wrong))).stderr).toContain('pinned_pictures');
  });
});

describe('the real kube-proxy', () => {
  /** It reads and validates its settings, writes them with all defaults, and ends. */
  const decode = async (name: string, settings: object, lab = plainLab) => {
    const file = await write(`${name}.yaml`, stringify(settings));
    const written = `${scratch.path}/${name}-whole.yaml`;
    const ran = await runAlone([binary('kube-proxy', lab), '--config', file, '--write-config-to', written]);
    return { ...ran, written };
  };

  test.for(labs)('takes our settings, strictly (%s lab)', async ([which, lab], context) => {
    needsProgram('kube-proxy', lab, context);
    const { code, stderr, written } = await decode(`proxy-${which}`, kubeProxyConfiguration(lab), lab);
    expect(stderr).not.toContain('strict decoding');
    expect(code, stderr).toBe(0);
    expect(parse(await readFile(written, 'utf8'))).toMatchObject(kubeProxyConfiguration(lab));
  });

  test('would tell of a setting that it does not know', async () => {
    const { stderr } = await decode('proxy-wrong', { ...kubeProxyConfiguration(plainLab), clusterCidr: 'x' });
    expect(stderr).toContain('strict decoding');
  });
});

describe('the real kubelet', () => {
  beforeEach(needsRoot);
  const cgroup = existsSync('/sys/fs/cgroup/cgroup.controllers') ? 'v2' : 'v1';

  /** It validates its settings, then ends as its files are not there: nothing has been started by then. */
  const decode = async (name: string, settings: object, lab = plainLab) => {
    const file = await write(`${name}.yaml`, stringify(settings));
    const nowhere = `${scratch.path}/nowhere`;
    const flags = ['--config', file, '--kubeconfig', nowhere, '--root-dir', nowhere, '--cert-dir', nowhere];
    return runAlone([binary('kubelet', lab), ...flags]);
  };

  test.for(labs)('takes our settings, strictly (%s lab)', async ([which, lab], context) => {
    needsProgram('kubelet', lab, context);
    // It refuses settings for another kind of cgroups than this machine's.
    const settings = kubeletConfiguration({ ...lab, machine: { ...lab.machine, cgroup } });
    const { stderr } = await decode(`kubelet-${which}`, settings, lab);
    expect(stderr).not.toContain('strict decoding');
    // v1.35 misses the certificates before the kubeconfig.
    expect(stderr).toMatch(/(invalid kubeconfig: stat .*nowhere|client CA file .*): no such file/);
  });

  test.each([
    ['a setting that it does not know', { clusterDomane: 'x' }, 'strict decoding'],
    ['a value that cannot be', { healthzPort: 70_000 }, 'failed to validate kubelet configuration'],
  ])('would tell of %s', async (what, wrong, words) => {
    const settings = kubeletConfiguration({ ...plainLab, machine: { ...plainLab.machine, cgroup } });
    expect((await decode(`kubelet-${what}`, { ...settings, ...wrong })).stderr).toContain(words);
  });
});

describe('the real CNI plugins', () => {
  const chain = conflist(plainLab, 1400);
  const types = chain.plugins.flatMap((plugin) => [plugin.type, ...('ipam' in plugin ? [plugin.ipam.type] : [])]);

  test.each(types)('%s speaks the version of our chain', async (type) => {
    const { stdout, code } = await runAlone([binary(type)], { env: { CNI_COMMAND: 'VERSION' }, input: '{}' });
    expect(code, stdout).toBe(0);
    expect(JSON.parse(stdout).supportedVersions).toContain(chain.cniVersion);
  });
});
