import { afterAll, beforeAll, expect, test } from 'vitest';
import { languages } from '../../lib/engine/text.ts';
import { certFile, keyFile } from '../../lib/host/paths.ts';
import type { Vm } from '../../lib/vm/vm.ts';
import { everyName, requestsFor } from '../../steps/certificates.ts';
import { plainLab } from '../fixtures.ts';
import { tryLesson } from './lessons.ts';
import { dropVm, freshVm, hardway, sh, succeeded, up } from './lib.ts';

const name = 'e2e-certs';
let vm: Vm;

beforeAll(async () => {
  vm = await freshVm(name);
  expect((await hardway(vm, ['certs', 'list'])).stderr).toContain('there is no lab on this machine');
  succeeded(await up(vm, '--to', 'kube-scheduler'));
});
afterAll(() => dropVm(name));

interface Finding {
  readonly what: string;
  readonly ok: boolean;
  readonly problems: readonly string[];
}

/** What verify finds wrong. */
const wrong = async (): Promise<{ readonly code: number; readonly findings: readonly Finding[] }> => {
  const { code, stdout } = await hardway(vm, ['certs', 'verify', '--json']);
  const lines = stdout
    .trim()
    .split('\n')
    .filter((line) => line.startsWith('{"what"'));
  return { code, findings: lines.map((line) => JSON.parse(line) as Finding).filter(({ ok }) => !ok) };
};

test('list names every certificate as openssl reads it, with who uses it and when it ends', async () => {
  const rows = succeeded(await hardway(vm, ['certs', 'list', '--json']))
    .stdout.trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(rows.map((row) => row.name)).toEqual(everyName(await requestsFor(plainLab)).map((one) => one.name));
  const row = rows.find((one) => one.name === 'apiserver');
  expect(row.usedBy).toEqual(['kube-apiserver']);
  const end = await sh(
    vm,
    `date -u -d "$(openssl x509 -noout -enddate -in ${certFile('apiserver')} | cut -d= -f2)" +%s`,
  );
  expect(Date.parse(row.ends) / 1000).toBe(Number(end));
  expect(row.sans.join(' ')).toContain('kubernetes.default.svc');
  const { stdout } = succeeded(await hardway(vm, ['certs', 'list']));
  expect(stdout).toMatch(/^apiserver +ends in 36\d days$/m);
  expect(stdout).not.toContain('PRIVATE KEY');
});

test('show explains one certificate in both languages, and proposes the nearest to a name that is none', async () => {
  expect(succeeded(await hardway(vm, ['certs', 'show', 'apiserver', '--lang', 'fr'])).stdout).toContain('10.32.0.1');
  const none = await hardway(vm, ['certs', 'show', 'apiserer']);
  expect([none.code, none.stderr]).toEqual([2, expect.stringContaining('did you mean apiserver')]);
});

test.each(languages)('each command of the lesson about renewal shows what it says, in %s', (language) =>
  tryLesson(vm, 'renewal', language),
);

test('verify finds nothing wrong in a healthy lab', async () => {
  expect(await wrong()).toEqual({ code: 0, findings: [] });
});

test('verify names a key that others can read, a torn certificate, another key, a missing file and another name, and up mends it', async () => {
  await sh(
    vm,
    `chmod 644 ${keyFile('admin')}
     head -c 200 ${certFile('kubelet')} >/root/torn && cat /root/torn >${certFile('kubelet')}
     cat ${keyFile('kube-proxy')} >${keyFile('kube-scheduler')}
     rm ${certFile('etcd-client')}`,
  );
  const { code, findings } = await wrong();
  expect(code).toBe(1);
  const said = new Map(findings.map(({ what, problems }) => [what, problems.join('; ')]));
  expect(said.get('kubelet')).toContain('it cannot be read as a certificate');
  expect(said.get('kube-scheduler')).toContain('its private key is that of another certificate');
  expect(said.get('etcd-client')).toContain('is missing');
  expect([...said.values()].join('\n')).toContain('0644');
  const people = await hardway(vm, ['certs', 'verify']);
  expect(people.stdout).toMatch(/^FAIL {2}kubelet$/m);
  expect(people.stderr).toContain('next: hardway up');
  succeeded(await up(vm, '--to', 'kube-scheduler'));
  expect(await wrong()).toEqual({ code: 0, findings: [] });
});

const pid = (component: string): Promise<string> => sh(vm, `systemctl show -p MainPID --value ${component}`);
const sums = (...files: readonly string[]): Promise<string> => sh(vm, `sha256sum ${files.join(' ')} | cut -c1-64`);

test('renew makes a certificate anew for the key that it has, and only what reads it starts again', async () => {
  const before = await sums(keyFile('apiserver'), certFile('apiserver'));
  const [server, store, scheduler] = [await pid('kube-apiserver'), await pid('etcd'), await pid('kube-scheduler')];
  const { stdout } = succeeded(await hardway(vm, ['certs', 'renew', 'apiserver']));
  expect(stdout).toContain('new: apiserver');
  const [oldKey, oldCertificate] = before.split('\n');
  const [key, certificate] = (await sums(keyFile('apiserver'), certFile('apiserver'))).split('\n');
  expect(key).toBe(oldKey);
  expect(certificate).not.toBe(oldCertificate);
  expect(await pid('kube-apiserver')).not.toBe(server);
  expect([await pid('etcd'), await pid('kube-scheduler')]).toEqual([store, scheduler]);
  expect(await wrong()).toEqual({ code: 0, findings: [] });
});

test('renew gives a new key where one is asked for, and starts what is down', async () => {
  const before = await sums(keyFile('kube-scheduler'));
  await sh(vm, 'systemctl stop kube-scheduler');
  succeeded(await hardway(vm, ['certs', 'renew', 'kube-scheduler', '--new-key']));
  expect(await sums(keyFile('kube-scheduler'))).not.toBe(before);
  expect(await sh(vm, 'systemctl is-active kube-scheduler')).toBe('active');
  expect(await wrong()).toEqual({ code: 0, findings: [] });
});

test('the old certificate comes back when a component does not get healthy with the new one', async () => {
  const files = [keyFile('kube-scheduler'), certFile('kube-scheduler')];
  const before = await sums(...files);
  await sh(
    vm,
    `systemctl stop kube-scheduler
     nohup /var/cache/hardway/node/node_modules/node/bin/node -e 'require("net").createServer().listen(10259,"127.0.0.1")' >/dev/null 2>&1 & echo $! >/root/taken
     until bash -c 'exec 3<>/dev/tcp/127.0.0.1/10259' 2>/dev/null; do sleep 0.1; done`,
  );
  const { code, stderr } = await hardway(vm, ['certs', 'renew', 'kube-scheduler', '--new-key']);
  expect([code, stderr]).toEqual([1, expect.stringContaining('the old certificates are back')]);
  expect(await sums(...files)).toBe(before);
  await sh(vm, 'kill $(cat /root/taken)');
  succeeded(await up(vm, '--to', 'kube-scheduler'));
  expect(await wrong()).toEqual({ code: 0, findings: [] });
});

test('renew refuses a CA and a name that is none, and changes nothing', async () => {
  const before = await sums(certFile('ca'), certFile('admin'));
  const ca = await hardway(vm, ['certs', 'renew', 'ca']);
  expect([ca.code, ca.stderr]).toEqual([2, expect.stringContaining('hardway certs rotate ca ca')]);
  const none = await hardway(vm, ['certs', 'renew', 'admn', '--json']);
  expect([none.code, none.stderr]).toEqual([2, expect.stringContaining('did you mean admin')]);
  expect(await sums(certFile('ca'), certFile('admin'))).toBe(before);
});

test('csr gives a person a kubeconfig: the cluster has signed it, who it is is known, and it has no rights of its own', async () => {
  const { stdout } = succeeded(
    await hardway(vm, ['certs', 'csr', 'jane', '--group', 'developers', '--expires', '1h', '--out', '/root/jane.conf']),
  );
  expect(stdout).toContain('kubectl create rolebinding jane-view --clusterrole=view --group=developers');
  expect(await sh(vm, 'stat -c "%a %U" /root/jane.conf')).toBe('600 root');
  const who = await sh(vm, 'hardway kubectl -- --kubeconfig /root/jane.conf auth whoami');
  expect(who).toMatch(/Username +jane\n[\s\S]*developers/);
  const asked = await sh(vm, 'hardway kubectl -- --kubeconfig /root/jane.conf get secrets 2>&1 || :');
  expect(asked).toContain('Forbidden');
  const leaf = "sed -n 's/.*client-certificate-data: //p' /root/jane.conf | base64 -d";
  expect(await sh(vm, `${leaf} | openssl verify -x509_strict -CAfile ${certFile('ca')} -purpose sslclient`)).toContain(
    'OK',
  );
  expect(await sh(vm, 'hardway kubectl -- get certificatesigningrequests -o name')).toBe('');
  const again = await hardway(vm, ['certs', 'csr', 'jane', '--out', '/root/jane.conf']);
  expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('is there, and is not overwritten')]);
  const master = await hardway(vm, ['certs', 'csr', 'jane', '--group', 'system:masters', '--out', '/root/other.conf']);
  expect([master.code, master.stderr]).toEqual([2, expect.stringContaining('does not begin with system:')]);
});

/** What makes an intermediate CA below a root, in /root/own, as a company has them. */
const ownCa = `
  mkdir -p -m 700 /root/own && cd /root/own
  printf '%s\\n' 'basicConstraints = critical, CA:TRUE' 'keyUsage = critical, keyCertSign, cRLSign' \\
    'subjectKeyIdentifier = hash' 'authorityKeyIdentifier = keyid' >ext
  umask 077
  for name in root lab other; do
    openssl req -newkey rsa:2048 -nodes -keyout $name-key.pem -subj "/C=FR/O=Example/CN=$name" -out $name.csr 2>/dev/null
  done
  openssl x509 -req -in root.csr -signkey root-key.pem -extfile ext -days 3650 -out root.pem 2>/dev/null
  for name in lab other; do
    openssl x509 -req -in $name.csr -CA root.pem -CAkey root-key.pem -CAcreateserial -extfile ext -days 1000 -out $name.pem 2>/dev/null
  done
  mkdir templates
  printf '%s\\n' 'hosts: [api.lab.test]' 'days: 200' 'key: { size: 3072 }' >templates/apiserver.yaml`;

test('a CA of one’s own, below a root, signs the certificates of a lab: whoever trusts the root believes the API server', async () => {
  await sh(vm, ownCa);
  const own = ['--ca-cert', '/root/own/lab.pem', '--ca-key', '/root/own/lab-key.pem'] as const;
  const late = await up(vm, ...own);
  expect([late.code, late.stderr]).toEqual([2, expect.stringContaining('this lab has a CA of its own')]);
  succeeded(await hardway(vm, ['reset', '--to', 'certificates', '--yes']));
  const templates = ['--certs-templates', '/root/own/templates'] as const;
  succeeded(await up(vm, ...own, ...templates, '--to', 'kube-controller-manager'));
  expect(await wrong()).toEqual({ code: 0, findings: [] });
  // Once more, and without the files.
  await sh(vm, 'mv /root/own/lab-key.pem /root/own/away.pem');
  succeeded(await up(vm, '--to', 'kube-controller-manager'));
  const server = '-connect 127.0.0.1:6443 -verify_return_error -verify_hostname api.lab.test';
  expect(await sh(vm, `openssl s_client ${server} -CAfile /root/own/root.pem -brief </dev/null 2>&1`)).toContain(
    'Verification: OK',
  );
  expect(await sh(vm, `openssl x509 -noout -text -in ${certFile('apiserver')} | grep Public-Key`)).toContain('3072');
  expect(await sh(vm, `cmp /root/own/lab.pem ${certFile('ca')}; stat -c %a ${keyFile('ca')}`)).toBe('600');
  expect(await sh(vm, `openssl x509 -noout -issuer -in ${certFile('etcd-server')}`)).toContain('etcd-ca');
  const { stdout } = succeeded(await hardway(vm, ['explain', 'cert', 'admin']));
  expect(await sh(vm, stdout.trim().split('\n').at(-1) ?? '')).toContain('OK');
});

test('a person whose certificate another CA below the same root has signed is nobody to the API server', async () => {
  const asked = (ca: string) => `
    cd /root/own
    openssl req -newkey rsa:2048 -nodes -keyout p-key.pem -subj "/O=system:masters/CN=jane" -out p.csr 2>/dev/null
    openssl x509 -req -in p.csr -CA ${ca}.pem -CAkey ${ca === 'lab' ? 'away' : `${ca}-key`}.pem -CAcreateserial -out p.pem 2>/dev/null
    curl -sS -o /dev/null -w '%{http_code}' --cacert root.pem --cert p.pem --key p-key.pem https://127.0.0.1:6443/api/v1/nodes`;
  expect(await sh(vm, asked('lab'))).toBe('200');
  expect(await sh(vm, asked('other'))).toBe('401');
});

test('a CA that was given is neither rotated, renewed nor made anew, and another file in its place is refused', async () => {
  const rotate = await hardway(vm, ['certs', 'rotate', 'ca']);
  expect([rotate.code, rotate.stderr]).toEqual([2, expect.stringContaining('the CA ca was given')]);
  await sh(vm, `rm ${certFile('ca')}`);
  const lost = await up(vm, '--to', 'kube-controller-manager');
  expect([lost.code, lost.stderr]).toEqual([2, expect.stringContaining('lab-key.pem is missing')]);
  const swapped = ['--ca-cert', '/root/own/lab.pem', '--ca-key', '/root/own/root-key.pem'] as const;
  const other = await up(vm, ...swapped);
  expect([other.code, other.stderr]).toEqual([2, expect.stringContaining('it is not the key of the certificate')]);
  succeeded(
    await up(vm, '--ca-cert', '/root/own/lab.pem', '--ca-key', '/root/own/away.pem', '--to', 'kube-controller-manager'),
  );
  expect(await wrong()).toEqual({ code: 0, findings: [] });
});
