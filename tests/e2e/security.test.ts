import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { execInVm, type Vm } from '../../lib/vm/vm.ts';
import { bringKubeBench, kubeBench } from './kube-bench.ts';
import { dropVm, freshVm, hardway, sh, succeeded, until, up } from './lib.ts';

const name = 'e2e-security';
const ca = '/var/lib/hardway/certs/ca.pem';
const page = await readFile(join(import.meta.dirname, '../../docs/security.md'), 'utf8');

let vm: Vm;
let program: string;

beforeAll(async () => {
  program = await bringKubeBench();
  vm = await freshVm(name);
  succeeded(await up(vm));
});
afterAll(() => dropVm(name));

/** The cells of each row of the table of docs/security.md below a heading. */
const rowsBelow = (heading: string): readonly (readonly string[])[] => {
  const section = page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  const lines = section.split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', '')),
  );
};

/** kubectl as the admin; what it said, errors too. */
const kubectl = async (args: string): Promise<string> => {
  const { stdout, stderr } = await execInVm(vm, ['sh', '-c', `kubectl ${args}`], {
    env: { KUBECONFIG: '/var/lib/hardway/kubeconfigs/admin.conf' },
  });
  return stdout + stderr;
};

/** How much a unit is exposed, from 0 to 10, as systemd-analyze(1) counts it. */
const exposureOf = async (unit: string): Promise<number> => {
  const said = await sh(vm, `systemd-analyze security --no-pager ${unit} | tail -n 1`);
  return Number(/: ([\d.]+) /.exec(said)?.[1]);
};

const statusOf = (url: string): Promise<string> =>
  sh(vm, `curl -s -o /dev/null -w '%{http_code}' --cacert ${ca} ${url}`);

describe('who may come in', () => {
  test('every listening socket is in the documentation with its program, and no other is', async () => {
    const tcp = await sh(vm, `ss -Hltunp | awk '{ print $5, $7 }'`);
    const local = await sh(
      vm,
      `ss -Hlx | awk '{ print $5 }' | sed 's|^/var/run/|/run/|' | grep -E '^/(run/containerd|run/nri|var/lib)/'`,
    );
    const ports = tcp.split('\n').map((line) => {
      const [, socket, process] = /^(\S+) users:\(\("([^"]+)"/.exec(line) ?? [];
      return `${process === 'containerd' ? socket?.replace(/\d+$/, '*') : socket} ${process}`;
    });
    const files = local.split('\n').map((file) => file.replace(/\/[0-9a-f]{64}$|\/\d+$/, '/*'));
    const inDocs = rowsBelow('Listening sockets').map(([socket = '', process = '']) =>
      socket.startsWith('/') ? socket : `${socket.replace('NODE', '10.240.0.10')} ${process.slice(0, 15)}`,
    );
    expect([...new Set([...ports, ...files])].toSorted()).toEqual(inDocs.toSorted());
  });

  test.each([
    ['/livez', '200'],
    ['/readyz', '200'],
    ['/healthz', '200'],
    ['/readyz/etcd', '401'],
    ['/version', '401'],
    ['/metrics', '401'],
    ['/api/v1/namespaces', '401'],
  ])('without a certificate %s of the API server answers %s', async (path, status) => {
    expect(await statusOf(`https://127.0.0.1:6443${path}`)).toBe(status);
  });

  test('whoever speaks TLS speaks 1.3', async () => {
    const ends = rowsBelow('Listening sockets').flatMap(([socket = '', , , how = '']) =>
      how.includes('TLS 1.3') ? [socket.replace('*', '127.0.0.1').replace('NODE', '10.240.0.10')] : [],
    );
    expect(ends).toHaveLength(6);
    const speaks = async (end: string, version: string): Promise<boolean> =>
      (await sh(vm, `openssl s_client -connect ${end} ${version} </dev/null 2>&1 || true`)).includes(
        'Cipher is TLS_AES',
      );
    for (const end of ends) expect([end, await speaks(end, '-tls1_3')]).toEqual([end, true]);
    for (const end of ends) expect([end, await speaks(end, '-tls1_2')]).toEqual([end, false]);
  });

  test('of kube-proxy a local user sees what it cannot turn off, and no more', async () => {
    const pages = ['/metrics', '/configz', '/proxyMode', '/flagz', '/statusz', '/debug/pprof/'];
    const found = await Promise.all(pages.map((path) => statusOf(`http://127.0.0.1:10249${path}`)));
    expect(found).toEqual(['200', '200', '200', '404', '404', '404']);
  });
});

describe('each component has its own rights on the machine', () => {
  const accounts = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler'];
  const secret = '/var/lib/hardway/certs/*-key.pem /var/lib/hardway/kubeconfigs/*.conf /var/lib/hardway/config/*.yaml';

  test.each(accounts)(
    '%s runs under its own account, without a capability, in a sandbox that systemd calls OK',
    async (account) => {
      const pid = await sh(vm, `systemctl show --value -p MainPID ${account}`);
      expect(await sh(vm, `ps -o user:32= -p ${pid}`)).toBe(account);
      const status = await sh(vm, `cat /proc/${pid}/status`);
      expect(status).toMatch(/^CapEff:\t0+$/m);
      expect(status).toMatch(/^CapBnd:\t0+$/m);
      expect(status).toMatch(/^NoNewPrivs:\t1$/m);
      expect(await exposureOf(account)).toBeLessThan(3);
    },
  );

  test('kube-proxy has of root what it needs for rules, and no more', async () => {
    expect(await exposureOf('kube-proxy')).toBeLessThan(6);
    const pid = await sh(vm, 'systemctl show --value -p MainPID kube-proxy');
    expect(await sh(vm, `grep CapBnd /proc/${pid}/status`)).toMatch(/\b0000000000003000$/); // CAP_NET_ADMIN, CAP_NET_RAW
  });

  test.each(accounts)('%s reads the keys that it is handed, and none of another', async (account) => {
    const read = await sh(
      vm,
      `for file in ${secret} /run/credentials/*/* /var/lib/hardway/audit/* /var/lib/hardway/etcd/member/wal/*; do
         setpriv --reuid=${account} --regid=${account} --clear-groups cat "$file" >/dev/null 2>&1 && echo "$file" || :
       done`,
    );
    const files = read.split('\n').filter((file) => file !== '');
    const own = [`/run/credentials/${account}.service/`];
    if (account === 'etcd') own.push('/var/lib/hardway/etcd/');
    if (account === 'kube-apiserver') own.push('/var/lib/hardway/audit/');
    expect(files.filter((file) => !own.some((folder) => file.startsWith(folder)))).toEqual([]);
    const handed = (await sh(vm, `sed -n 's/^LoadCredential=[^:]*://p' /etc/systemd/system/${account}.service`)).split(
      '\n',
    );
    expect(files.filter((file) => file.startsWith('/run/'))).toHaveLength(handed.length);
  });

  test('what only root may read cannot be read by another user, and each unit, configuration and log is closed', async () => {
    const open = await sh(
      vm,
      `find /var/lib/hardway /etc/systemd/system -path '*/bin' -prune -o -path '*/demo' -prune -o -path '*/before' -prune -o \
         -type f -perm /077 -not \\( -path '*/certs/*' -not -name '*-key.pem' \\) -print`,
    );
    // Pods read the first; the others are of the VM.
    const known = ['/var/lib/hardway/config/resolv.conf'].concat(
      ['cgroups', 'parameters'].map((name) => `/etc/systemd/system/hardway-${name}.service`),
    );
    expect(
      open.split('\n').filter((file) => !known.includes(file) && /hardway|etcd|kube|containerd/.test(file)),
    ).toEqual([]);
    expect(await sh(vm, 'stat -c %a /var/lib/hardway/before')).toBe('700');
  });

  test('etcd’s data that root put back, as after a restore, are given to etcd by the next up', async () => {
    await sh(vm, 'systemctl stop etcd kube-apiserver; chown -R root:root /var/lib/hardway/etcd');
    const { code, stdout } = await hardway(vm, ['check', 'etcd']);
    expect([code, stdout]).toEqual([1, expect.stringContaining('does not belong to the user etcd')]);
    succeeded(await up(vm));
    expect(await sh(vm, 'stat -c %U /var/lib/hardway/etcd/member/wal')).toBe('etcd');
  });
});

describe('what is let in', () => {
  test('a privileged Pod wants a namespace that says so; kube-system is one', async () => {
    const run = (namespace: string) => kubectl(`run evil -n ${namespace} --image=none:1 --privileged --dry-run=server`);
    await kubectl('create namespace open');
    expect(await run('open')).toContain('violates PodSecurity "baseline:latest"');
    await kubectl('label namespace open pod-security.kubernetes.io/enforce=privileged');
    await until(vm, 'kubectl -n open get serviceaccount default >/dev/null 2>&1');
    expect(await run('open')).toContain('pod/evil created');
    expect(await run('kube-system')).toContain('pod/evil created');
    await kubectl('delete namespace open');
  });

  test('a Service takes no address of somebody else', async () => {
    const object =
      '{"apiVersion":"v1","kind":"Service","metadata":{"name":"x"},"spec":{"ports":[{"port":80}],"externalIPs":["192.0.2.1"]}}';
    expect(await kubectl(`create -f - <<'EOF'\n${object}\nEOF`)).toContain('external IPs is denied');
  });

  test('who reads a Secret, and who goes into a Pod, is written down without what was in it', async () => {
    await kubectl('create secret generic plain --from-literal=word=hush-hush');
    expect(await kubectl('get secret plain -o jsonpath={.data.word}')).not.toBe('');
    const pod = (await kubectl('-n kube-system get pods -o name')).split('\n')[0];
    await kubectl(`-n kube-system exec ${pod} -- /none`);
    const log = await sh(vm, 'cat /var/lib/hardway/audit/audit.log');
    const events = log.split('\n').map((line) => JSON.parse(line));
    const of = (resource: string, subresource?: string) =>
      events.filter(
        ({ objectRef, user }) =>
          user.username === 'kubernetes-admin' &&
          objectRef?.resource === resource &&
          objectRef?.subresource === subresource,
      );
    const read = of('secrets').filter(({ verb, objectRef }) => verb === 'get' && objectRef.name === 'plain');
    expect(read.map(({ level }) => level)).toEqual(['Metadata']);
    expect(of('pods', 'exec')).not.toEqual([]);
    expect(log).not.toContain('aHVzaC1odXNo'); // hush-hush
    await kubectl('delete secret plain');
  });
});

test('the benchmark of CIS finds what the documentation says, and what it cannot decide is explained there', async () => {
  const findings = await kubeBench(vm, program);
  expect(findings.length).toBeGreaterThan(120);
  const found = (status: string) => findings.filter((one) => one.status === status);
  const inDocs = (heading: string) => rowsBelow(heading).flatMap(([ids = '']) => ids.split(', '));
  const ids = (status: string) => found(status).map(({ id }) => id);
  expect(ids('FAIL').toSorted(), JSON.stringify(found('FAIL'))).toEqual(inDocs('What the benchmark of CIS finds'));
  expect(inDocs('What the benchmark of CIS leaves open').toSorted()).toEqual(ids('WARN').toSorted());
});

test('an admin without its rights gets them back from the next up, by super-admin.conf', async () => {
  const superAdmin = '--kubeconfig /var/lib/hardway/kubeconfigs/super-admin.conf';
  await sh(vm, `kubectl ${superAdmin} delete clusterrolebinding hardway:cluster-admins`);
  expect(await kubectl('get nodes')).toContain('forbidden');
  const { code, stdout } = await hardway(vm, ['check', 'kube-apiserver']);
  expect([code, stdout]).toEqual([1, expect.stringContaining('the admin has its rights by a ClusterRoleBinding')]);
  succeeded(await up(vm));
  expect(await kubectl('get nodes')).toContain(' Ready ');
});

describe('what is secret', () => {
  const needles = '/dev/shm/needles';

  beforeAll(async () => {
    // A line from the middle of each private key, as it is and as a kubeconfig has it; the key of Secrets; tokens of Pods.
    await sh(
      vm,
      `cd /var/lib/hardway; umask 077
       for key in certs/*-key.pem; do sed -n 12p "$key"; done >${needles}
       for file in kubeconfigs/*.conf; do sed -n 's/.*client-key-data: //p' "$file" | cut -c 401-460; done >>${needles}
       sed -n 's/.*secret: //p' config/encryption.yaml | tr -d '"' >>${needles}
       for token in /var/lib/kubelet/pods/*/volumes/kubernetes.io~projected/*/token; do tail -c 60 "$token"; echo; done >>${needles}
       ! grep -vE '^.{40,64}$' ${needles}`,
    );
    expect(Number(await sh(vm, `sort -u ${needles} | wc -l`))).toBeGreaterThan(25);
  });

  test('is in no file but those that are to hold it, and in nothing that hardway prints', async () => {
    await sh(
      vm,
      `mkdir -p /root/out/report; cd /root/out; exec >printed 2>&1; set +e # doctor may have findings
       for format in md sh; do hardway transcript --format $format; done
       for command in status check steps 'certs list' 'certs verify' 'up --cni bridge' doctor; do hardway $command --json; done
       hardway explain cert apiserver; hardway kubectl -- config view
       hardway doctor --report report.tar.gz
       set -e; tar -xzf report.tar.gz -C report; grep -q 'etcdctl' printed; grep -q '"event":"done","ok":true' printed`,
    );
    const found = await sh(
      vm,
      `find /etc /home /root /run /tmp /usr/local /var /opt/cni -xdev -type f -size -50M -not -path '/var/cache/*' -print0 2>/dev/null |
         xargs -0 grep -lFf ${needles} 2>/dev/null || :`,
    );
    const others = found
      .split('\n')
      .filter(
        (file) =>
          !/^\/var\/lib\/hardway\/(certs\/[\w-]+-key\.pem|kubeconfigs\/[\w-]+\.conf|config\/encryption\.yaml)$/.test(
            file,
          ),
      )
      .filter((file) => file !== '/root/.kube/config');
    expect(others).toEqual([]);
    expect(found.split('\n').length).toBeGreaterThan(20); // the search finds what it is to find
  });

  test('is in no argument and no environment of a process, and not in the journal', async () => {
    const seen = await sh(
      vm,
      `cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -cFf ${needles} || :
       journalctl --no-pager -o cat | grep -cFf ${needles} || :`,
    );
    expect(seen).toBe('0\n0');
  });
});
