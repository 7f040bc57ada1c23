import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, type TestContext, test } from 'vitest';
import { calicoArchives } from '../../lib/binaries/calico.ts';
import { imageReference, versions } from '../../lib/binaries/versions.ts';
import { calicoObjects } from '../../lib/cluster/calico.ts';
import { architectures, type Lab } from '../../lib/engine/lab.ts';
import { paths } from '../../lib/host/paths.ts';
import { execInVm, type Vm } from '../../lib/vm/vm.ts';
import { observations, observed, runEvents, stepIds, story } from './events.ts';
import { tryLesson } from './lessons.ts';
import { dropVm, freshVm, hardway, sh, succeeded, until } from './lib.ts';

const name = 'cal-calico';
/** Neither is the default: that what is asked for arrives is to be seen. */
const podCIDR = '10.210.0.0/16';
const mtu = 1400;

const arch = architectures[process.arch] ?? 'amd64';
const { version, images } = versions().calico;
const archives = await calicoArchives({ cache: paths.cache, arch });
const lacking = images.filter((image) => !archives.has(image));

/** Calico's images can be had neither from a Go module nor in a VM that has no network. */
const needsImages = ({ skip }: TestContext): void =>
  skip(
    lacking.length > 0,
    `${paths.images}/${arch} has no archive of ${lacking.join(', ')}; where a registry answers: hardway vm up -- --cni calico`,
  );

let vm: Vm;
const node = '/var/cache/hardway/node/node_modules/node/bin/node';

/** An object of the cluster. */
interface Found {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: Readonly<Record<string, unknown>>;
  readonly status: Readonly<Record<string, unknown>> & {
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message: string }[];
  };
}

const kubectl = (args: string): Promise<string> => sh(vm, `kubectl ${args}`);
const get = async (what: string): Promise<readonly Found[]> => JSON.parse(await kubectl(`get ${what} -o json`)).items;
const condition = ({ status }: Found, wanted: string) => status.conditions?.find(({ type }) => type === wanted);

const put = async (...objects: readonly object[]): Promise<string> => {
  const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
  const { stdout, stderr, code } = await execInVm(vm, ['kubectl', 'apply', '--server-side', '-f', '-'], {
    input: list,
  });
  expect(code, stderr).toBe(0);
  return stdout;
};

/** Without the images Calico is refused before anything is done; until the network the guide is the same with either. */
const cni = lacking.length > 0 ? 'bridge' : 'calico';
const up = (...flags: readonly string[]) => hardway(vm, ['up', '--cni', cni, ...flags]);

beforeAll(async () => {
  vm = await freshVm(name);
  await sh(vm, `echo 'podCIDR: ${podCIDR}' >/etc/hardway.yaml; ip link set eth0 mtu ${mtu}`);
});
afterAll(() => dropVm(name));

const untilKubelet = stepIds.slice(0, stepIds.indexOf('kubelet') + 1);

test('before the network the Node is NotReady, for want of it, and the story is the same with either', async () => {
  const { stdout } = succeeded(await up('--to', 'kubelet', '--observe', '--lang', 'fr', '--json'));
  expect(observed(runEvents(stdout))).toEqual(observations({ cni, with: [] }, untilKubelet, 'fr'));
  const [node] = await get('nodes');
  expect(node && condition(node, 'Ready')).toMatchObject({
    status: 'False',
    message: expect.stringContaining('cni plugin not initialized'),
  });
});

describe('Calico, whole', () => {
  test.for(stepIds.slice(untilKubelet.length))(
    'comes up step by step: the story of %s is so, and each command of its lesson shows what the lesson says',
    async (id, context) => {
      needsImages(context);
      const events = runEvents(succeeded(await hardway(vm, ['next', '--lang', 'fr', '--json'])).stdout);
      expect(story(events).slice(-3)).toEqual([`${id} started`, `${id} healthy`, `${id} observed`]);
      expect(observed(events)).toEqual(observations({ cni, with: [] }, [id], 'fr'));
      await tryLesson(vm, id, 'fr');
    },
  );

  test('is up, and with it CoreDNS and the smoke test', async (context) => {
    needsImages(context);
    succeeded(await up());
    const checks = await hardway(vm, ['check', 'network', '--json']);
    expect(checks.code, checks.stdout).toBe(0);
  });

  test('has every kind of its own established', async (context) => {
    needsImages(context);
    const definitions = await get('customresourcedefinitions');
    expect(definitions.length).toBeGreaterThan(20);
    for (const one of definitions) expect(condition(one, 'Established')?.status, one.metadata.name).toBe('True');
  });

  test('has calico-node ready, its controllers available and the Node ready', async (context) => {
    needsImages(context);
    const [agent] = await get('daemonsets -n kube-system');
    expect(agent).toMatchObject({ metadata: { name: 'calico-node' }, status: { numberReady: 1 } });
    const controllers = (await get('deployments -n kube-system')).find(
      ({ metadata }) => metadata.name === 'calico-kube-controllers',
    );
    expect(controllers?.status).toMatchObject({ availableReplicas: 1 });
    const [node] = await get('nodes');
    expect(node && condition(node, 'Ready')?.status).toBe('True');
    expect(node && condition(node, 'NetworkUnavailable')?.status).toBe('False');
  });

  test('gives Pods addresses of the pool that was asked for, without a tunnel, and the MTU of the interface', async (context) => {
    needsImages(context);
    const pools = await get('ippools');
    expect(pools.map(({ spec }) => spec)).toMatchObject([{ cidr: podCIDR, ipipMode: 'Never', vxlanMode: 'Never' }]);
    const addresses = await kubectl('get pods -n kube-system -l k8s-app=kube-dns -o jsonpath={.items[*].status.podIP}');
    expect(addresses).toMatch(/^10\.210\.\d+\.\d+$/);
    const links = await sh(vm, 'ip -o link');
    expect(links.match(/cali\w+@.* mtu (\d+)/)?.[1]).toBe(String(mtu));
    expect(links).not.toMatch(/vxlan\.calico|tunl0/);
  });

  test('never let a Pod start before it could serve', async (context) => {
    needsImages(context);
    expect(await kubectl('get events -A --field-selector reason=FailedCreatePodSandBox -o name')).toBe('');
  });

  test('cuts off what a policy denies, lets through what a policy allows, and leaves DNS alone', async (context) => {
    needsImages(context);
    await kubectl('create namespace policies');
    await kubectl('-n policies wait --for=create serviceaccount/default --timeout=30s');
    const pod = (app: string) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: app, namespace: 'policies', labels: { app } },
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [
          {
            name: 'main',
            image: imageReference('agnhost'),
            imagePullPolicy: 'IfNotPresent',
            args: ['netexec', '--http-port=8080'],
          },
        ],
      },
    });
    const service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'server', namespace: 'policies' },
      spec: { selector: { app: 'server' }, ports: [{ port: 80, targetPort: 8080 }] },
    };
    const policy = (policyName: string, spec: object) => ({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: policyName, namespace: 'policies' },
      spec,
    });
    await put(pod('server'), pod('client'), service);
    await kubectl('-n policies wait --for=condition=Ready pod --all --timeout=60s');

    /** What the client gets when it asks the server by its name: the answer, or why there is none. */
    const asked = async (): Promise<{ responses?: string[]; errors?: string[] }> =>
      JSON.parse(
        await kubectl(
          "get --raw '/api/v1/namespaces/policies/pods/client:8080/proxy/dial?host=server&port=80&protocol=http&request=hostname&tries=1'",
        ),
      );
    const namesResolve = () =>
      kubectl('-n policies exec client -- /agnhost connect kubernetes.default:443 --timeout=3s');
    const patience = { timeout: 20_000, interval: 200 };

    await expect.poll(asked, patience).toMatchObject({ responses: ['server'] });

    await put(policy('default-deny', { podSelector: {}, policyTypes: ['Ingress'] }));
    await expect.poll(asked, patience).toMatchObject({ errors: [expect.stringMatching(/timeout|deadline/i)] });
    await namesResolve();

    const client = { podSelector: { matchLabels: { app: 'client' } } };
    await put(
      policy('allow-client', {
        podSelector: { matchLabels: { app: 'server' } },
        ingress: [{ from: [client], ports: [{ port: 8080 }] }],
      }),
    );
    await expect.poll(asked, patience).toMatchObject({ responses: ['server'] });
    await namesResolve();
  });

  test('gives new Pods the MTU that the interface has later, once check has named it and up has run', async (context) => {
    needsImages(context);
    await sh(vm, 'ip link set eth0 mtu 1380');
    const { stdout } = await hardway(vm, ['check', 'network']);
    expect(stdout).toContain(`eth0 has an MTU of 1380, was ${mtu}, which Pods still get`);
    succeeded(await up());
    succeeded(await hardway(vm, ['check', 'network']));
    await kubectl('-n policies delete pod client --now');
    const client = {
      name: 'client',
      image: imageReference('agnhost'),
      imagePullPolicy: 'IfNotPresent',
      args: ['pause'],
    };
    const metadata = { name: 'client', namespace: 'policies' };
    await put({ apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers: [client] } });
    await kubectl('-n policies wait --for=condition=Ready pod client --timeout=60s');
    expect(await sh(vm, 'nsenter -t "$(pgrep -nx agnhost)" -n ip -o link show eth0')).toContain('mtu 1380');
  });
});

describe('Calico, taken back', () => {
  const left = `kubectl get daemonsets,customresourcedefinitions -A -o name | grep -c calico || :
    kubectl get pods -A -o name | grep -c calico || :
    ls /etc/cni/net.d /opt/cni/bin | grep -c calico || :
    ip -o link | grep -c cali || :
    for save in iptables-save ip6tables-save; do $save; done | grep -c cali || :
    kubectl get nodes -o yaml | grep -ciE 'projectcalico|NetworkUnavailable' || :`;

  test.for(['kube-proxy', 'kubelet', 'containerd'])(
    'with --to %s does not come back by itself, and up brings it again without a failed sandbox',
    async (step, context) => {
      needsImages(context);
      succeeded(await hardway(vm, ['reset', '--to', step, '--yes']));
      await sh(vm, 'sleep 15'); // the time in which a kubelet would have run calico-node again
      expect(await sh(vm, left)).toBe('0\n0\n0\n0\n0\n0');
      succeeded(await up());
      expect(await kubectl('get events -A --field-selector reason=FailedCreatePodSandBox -o name')).toBe('');
    },
  );
});

test('a reset leaves nothing of Calico', async () => {
  await sh(vm, `ip link set eth0 mtu ${mtu}`); // a test above has changed it since the first up
  const { code, stderr, stdout } = await hardway(vm, ['reset', '--yes']);
  expect(code, stdout + stderr).toBe(0);
  expect(await sh(vm, 'ip -o link; ip route; ip -6 route')).not.toMatch(/cali|vxlan|tunl|10\.210\./);
  const tables = await sh(
    vm,
    'for save in iptables-nft-save ip6tables-nft-save iptables-legacy-save ip6tables-legacy-save "nft list ruleset"; do $save 2>/dev/null || :; done',
  );
  expect(tables).not.toMatch(/cali|KUBE/);
  expect(await sh(vm, 'ipset list -n')).toBe('');
  expect(
    await sh(
      vm,
      'ls -d /var/lib/calico /var/run/calico /var/run/nodeagent /var/log/calico /etc/cni /opt/cni /var/lib/cni 2>/dev/null || :; findmnt -rno TARGET | grep calico || :',
    ),
  ).toBe('');
});

/** A registry that answers, and gives nothing away. */
const denying = `require('http').createServer((request, response) => {
  response.statusCode = request.url === '/v2/' ? 200 : 403;
  response.end();
}).listen(5000, '127.0.0.1')`;

describe('where the images cannot be had', () => {
  /** A cache like this machine's, without Calico's images. */
  const own = '/root/cache';

  test('Calico is refused before anything is done: which images, and what to do', async () => {
    await sh(
      vm,
      `mkdir -p ${own}/images/${arch}
       find ${paths.cache} -mindepth 1 -maxdepth 1 ! -name images -exec ln -s {} ${own}/ ';'
       ln -s ${paths.images}/${arch}/registry.k8s.io_* ${own}/images/${arch}/`,
    );
    const { code, stderr } = await hardway(vm, ['up', '--cni', 'calico'], { env: { HARDWAY_CACHE: own } });
    expect(code, stderr).toBe(2);
    for (const image of images) expect(stderr).toContain(image);
    expect(stderr).toContain('--cni bridge');
    expect(await sh(vm, `ls ${paths.root} 2>/dev/null || :`)).toBe('');
  });

  test('a mirror that answers makes Calico the default; what it refuses is shown in its words, with what to do', async () => {
    await execInVm(vm, ['systemd-run', '--unit=mirror', '--description=a registry', node, '-e', denying]);
    await until(vm, 'ss -Hltn sport = :5000 | grep -q .');
    const { code, stderr } = await hardway(vm, ['up', '--registry-mirror', 'http://127.0.0.1:5000'], {
      env: { HARDWAY_CACHE: own },
    });
    expect(code, stderr).toBe(2);
    expect(stderr).toMatch(/the image quay\.io\/calico\/\S+ cannot be had/);
    expect(stderr).toContain('127.0.0.1:5000 answered 403');
    expect(stderr).toContain('--cni bridge');
    expect(await sh(vm, 'cat /etc/containerd/certs.d/_default/hosts.toml')).toContain('http://127.0.0.1:5000');
    succeeded(await hardway(vm, ['reset', '--yes'])); // the mirror was here before, and is still
    await sh(vm, 'systemctl stop mirror');
  });

  test('the API server takes every object of the manifest as we change it', async () => {
    const { code, stderr } = await hardway(vm, ['up', '--cni', 'bridge', '--to', 'kube-proxy']);
    expect(code, stderr).toBe(0);
    const { lab } = JSON.parse(await sh(vm, `cat ${paths.state}`)) as { lab: Lab };
    const manifest = await readFile(`${paths.cache}/manifests/calico-${version}.yaml`, 'utf8');
    const { definitions, others } = calicoObjects(manifest, lab, mtu);
    await put(...definitions);
    await kubectl('wait --for=condition=Established customresourcedefinitions --all --timeout=60s');
    const taken = (await put(...others)).trim().split('\n');
    expect(taken).toHaveLength(others.length);
  });

  test('the DaemonSet has the images of this version, and the settings of this lab', async () => {
    const agent = (path: string) =>
      kubectl(`get daemonset calico-node -n kube-system -o jsonpath='{.spec.template.spec${path}}'`);
    for (const image of (await agent('..image')).split(' ')) expect(images).toContain(image);
    expect(JSON.parse(await agent('.containers[0].env'))).toEqual(
      expect.arrayContaining([
        { name: 'CALICO_IPV4POOL_CIDR', value: podCIDR },
        { name: 'CALICO_IPV4POOL_IPIP', value: 'Never' },
        { name: 'CALICO_IPV4POOL_VXLAN', value: 'Never' },
        { name: 'IP_AUTODETECTION_METHOD', value: 'interface=eth0' },
      ]),
    );
    expect(await agent('.containers')).not.toContain('-bird');
    const config = JSON.parse(await kubectl('get configmap calico-config -n kube-system -o json'));
    expect(config.data).toMatchObject({ calico_backend: 'vxlan', veth_mtu: String(mtu) });
  });
});
