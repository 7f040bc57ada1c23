import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { z } from 'zod';
import { goBuild } from '../../lib/binaries/go.ts';
import { findGo } from '../../lib/binaries/toolchain.ts';
import type { Product } from '../../lib/binaries/versions.ts';
import { architectures } from '../../lib/engine/lab.ts';
import { statIfThere } from '../../lib/host/files.ts';
import { certFile, kubeconfigFile, paths } from '../../lib/host/paths.ts';
import { run } from '../../lib/host/run.ts';
import type { Vm } from '../../lib/vm/vm.ts';
import { sh } from './lib.ts';

const module = 'github.com/aquasecurity/kube-bench';
const product: Product = { version: 'v0.15.6', modules: [module], packages: { 'kube-bench': module } };
const benchmark = 'cis-1.12';

const unit = (name: string): string => `${paths.units}/${name}.service`;

/** kube-bench's own settings: where the files of each component are here (kube-bench/cfg/config.yaml). */
const component = (name: string, more: object = {}) => ({
  bins: [name],
  confs: [unit(name)],
  defaultconf: unit(name),
  ...more,
});
const kubeconfig = (name: string) => ({ kubeconfig: [kubeconfigFile(name)], defaultkubeconfig: kubeconfigFile(name) });
const apiserver = component('kube-apiserver');
const etcd = component('etcd', { datadirs: [paths.etcd], defaultdatadir: paths.etcd });
const kubelet = {
  bins: ['kubelet'],
  confs: [`${paths.config}/kubelet.yaml`],
  defaultconf: `${paths.config}/kubelet.yaml`,
  svc: [unit('kubelet')],
  defaultsvc: unit('kubelet'),
  cafile: [certFile('ca')],
  defaultcafile: certFile('ca'),
  ...kubeconfig('kubelet'),
};
const settings = {
  master: {
    components: ['apiserver', 'scheduler', 'controllermanager', 'etcd', 'kubelet'],
    apiserver,
    scheduler: component('kube-scheduler', kubeconfig('kube-scheduler')),
    controllermanager: component('kube-controller-manager', kubeconfig('kube-controller-manager')),
    etcd,
    kubelet,
  },
  node: {
    components: ['kubelet', 'proxy'],
    kubelet,
    proxy: component('kube-proxy', { svc: [unit('kube-proxy')], ...kubeconfig('kube-proxy') }),
  },
  etcd: { components: ['etcd'], etcd },
  controlplane: { components: ['apiserver'], apiserver },
  policies: { components: [] },
};
const targets = Object.keys(settings);

/** Names that are written into its checks, and ours. */
const renamed = [
  ['/etc/kubernetes/pki/', `${paths.certs}/`],
  ['/etc/kubernetes/', `${paths.kubeconfigs}/`],
  ["-name '*.crt'", "-name '*.pem' -not -name '*-key.pem'"],
  ["-name '*.key'", "-name '*-key.pem'"],
] as const;

/** Builds kube-bench into the cache, and copies the checks of its benchmark from Go's module cache beside it. */
const build = async (program: string): Promise<void> => {
  const arch = architectures[process.arch];
  const go = await findGo();
  if (!arch || go === undefined) throw new Error('kube-bench is built by Go, which is not on this machine');
  const options = { go, arch, cache: paths.cache, report: () => {}, signal: undefined };
  await mkdir(dirname(program), { recursive: true });
  await goBuild('kube-bench', product, 'kube-bench', `${program}.new`, options);
  const { stdout: modules } = await run(go, ['env', 'GOMODCACHE']);
  const checks = join(modules.trim(), `${module}@${product.version}`, 'cfg', benchmark);
  await run('cp', ['-R', '--no-preserve=mode', checks, dirname(program)]);
  await rename(`${program}.new`, program);
};

/** Writes the checks with our paths in them. */
const adapt = async (from: string, config: string): Promise<void> => {
  await mkdir(join(config, benchmark), { recursive: true });
  await writeFile(join(config, 'config.yaml'), stringify({ ...settings, target_mapping: { [benchmark]: targets } }));
  for (const name of await readdir(from)) {
    const text = await readFile(join(from, name), 'utf8');
    const ours = renamed.reduce((checks, [there, here]) => checks.replaceAll(there, here), text);
    await writeFile(join(config, benchmark, name), ours);
  }
};

/** Brings kube-bench into the cache, where a VM sees it; its first build takes two minutes. Returns its program. */
export const bringKubeBench = async (): Promise<string> => {
  const arch = architectures[process.arch] ?? process.arch;
  const folder = join(paths.cache, 'bin', arch, `kube-bench-${product.version}`);
  const program = join(folder, 'kube-bench');
  if (!(await statIfThere(program))) await build(program);
  await adapt(join(folder, benchmark), join(folder, 'cfg'));
  return program;
};

const report = z.object({
  Controls: z.array(
    z.object({
      tests: z.array(
        z.object({
          results: z.array(
            z.object({ test_number: z.string(), test_desc: z.string(), status: z.string(), actual_value: z.string() }),
          ),
        }),
      ),
    }),
  ),
});

/** One check of the benchmark: its number, PASS, FAIL or WARN, and what was found. */
export interface Finding {
  readonly id: string;
  readonly status: string;
  readonly what: string;
}

/** Runs the whole benchmark in a VM. */
export const kubeBench = async (vm: Vm, program: string): Promise<readonly Finding[]> => {
  const config = join(dirname(program), 'cfg');
  const flags = `--benchmark ${benchmark} --config-dir ${config} --config ${config}/config.yaml --json`;
  const text = await sh(
    vm,
    // Its checks name files by an open *etcd*, which the folders of PrivateTmp= in /tmp would match.
    `cd /; KUBECONFIG=${kubeconfigFile('admin')} ${program} run --targets ${targets.join(',')} ${flags}`,
  );
  const { Controls } = report.parse(JSON.parse(text));
  return Controls.flatMap(({ tests }) => tests.flatMap(({ results }) => results)).map(
    ({ test_number: id, status, test_desc, actual_value }) => ({ id, status, what: `${test_desc}: ${actual_value}` }),
  );
};
