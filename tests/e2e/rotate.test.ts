import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { imageReference } from '../../lib/binaries/versions.ts';
import type { Vm } from '../../lib/vm/vm.ts';
import type { RunEvent } from './events.ts';
import { tryLesson } from './lessons.ts';
import { dropVm, type Ended, freshVm, hardway, sh, succeeded, until, up, watched } from './lib.ts';

const name = 'e2e-rotate';
const folder = '/var/lib/hardway';
const kubectl = `kubectl --kubeconfig ${folder}/kubeconfigs/admin.conf`;
let vm: Vm;

/**
 * A Pod that asks the API ten times a second: by the CA and the token that its volume has now, and by the CA that it had
 * when it started, as a program does that reads it once. It has the VM's own curl, as an image with one is not in the
 * cache. Each line: when it began, exit code of curl, which CA, status of the answer. The Secret holds a token without an end.
 */
const caller = `
apiVersion: v1
kind: Namespace
metadata: {name: caller, labels: {pod-security.kubernetes.io/enforce: privileged}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: caller}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: default, namespace: caller}]
---
apiVersion: v1
kind: Secret
metadata: {name: endless, namespace: caller, annotations: {kubernetes.io/service-account.name: default}}
type: kubernetes.io/service-account-token
---
apiVersion: v1
kind: Pod
metadata: {name: caller, namespace: caller}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: caller
      image: ${imageReference('agnhost')}
      imagePullPolicy: Never
      command: [/usr/bin/bash, -c]
      args:
        - |
          export PATH=/usr/bin; own=/var/run/secrets/kubernetes.io/serviceaccount; mkdir -p /tmp; cp $own/ca.crt /tmp/first
          while :; do
            for ca in $own/ca.crt /tmp/first; do
              begin=$EPOCHREALTIME; status=$(curl -s -o /dev/null -m 5 -w '%{http_code}' --cacert $ca -H "Authorization: Bearer $(cat $own/token)" https://$KUBERNETES_SERVICE_HOST/api/v1/namespaces/caller/pods)
              echo $begin $? \${ca##*/} $status
            done
            sleep 0.1
          done
      volumeMounts:
        - {name: usr, mountPath: /usr, readOnly: true}
        - {name: lib, mountPath: /lib, readOnly: true}
        - {name: lib64, mountPath: /lib64, readOnly: true}
  volumes:
    - {name: usr, hostPath: {path: /usr}}
    - {name: lib, hostPath: {path: /usr/lib}}
    - {name: lib64, hostPath: {path: /usr/lib64}}
`;

interface Call {
  readonly at: number;
  readonly exit: string;
  readonly ca: string;
  readonly status: string;
}

/** The requests of the Pod so far. */
const calls = async (): Promise<readonly Call[]> =>
  (await sh(vm, `${kubectl} -n caller logs caller`)).split('\n').map((line) => {
    const [at, exit = '', ca = '', status = ''] = line.split(' ');
    return { at: Number(at), exit, ca, status };
  });

const failed = ({ exit, status }: Call): boolean => exit !== '0' || status !== '200';

/** From when to when etcd and the API server were being started again, in seconds of the Unix epoch. */
const restarts: { readonly from: number; to: number }[] = [];

/** Takes the command to its end and notes these times. */
const taken = async (...args: readonly string[]): Promise<Ended> => {
  const note = (event: RunEvent): void => {
    if (event.event !== 'step' || !['etcd', 'kube-apiserver'].includes(event.step)) return;
    const now = Date.now() / 1000;
    if (event.state === 'started' && event.step === 'etcd') restarts.push({ from: now, to: now });
    const last = restarts.at(-1);
    if (last) last.to = now;
  };
  const ended = await watched(vm, ['hardway', 'certs', 'rotate', ...args], note);
  expect(ended.code, `${JSON.stringify(ended.events.at(-1))}\n${ended.text}`).toBe(0);
  return ended;
};

/** "trust started", "trust done", ... */
const stagesOf = ({ events }: Ended): string[] =>
  events.flatMap((event) => (event.event === 'stage' ? [`${event.stage} ${event.state}`] : []));

const stage =
  (wanted: string) =>
  (event: RunEvent): boolean =>
    event.event === 'stage' && `${event.stage} ${event.state}` === wanted;
const step =
  (wanted: string) =>
  (event: RunEvent): boolean =>
    event.event === 'step' && `${event.step} ${event.state}` === wanted;

/** Starts the command and kills it at the first event that is meant. */
const killed = async (args: readonly string[], isMeant: (event: RunEvent) => boolean): Promise<void> => {
  let at: RunEvent | undefined;
  const { code, events, text } = await watched(vm, ['hardway', 'certs', 'rotate', ...args], async (event, run) => {
    if (at || !isMeant(event)) return;
    at = event;
    await run.kill();
  });
  expect(at, `${args.join(' ')} came to no such event: ${JSON.stringify(events.at(-1))}\n${text}`).toBeDefined();
  expect(code, text).toBe(137);
};

beforeAll(async () => {
  vm = await freshVm(name);
  succeeded(await up(vm));
  await sh(
    vm,
    `${kubectl} apply -f - <<'END'
${caller}
END
     ${kubectl} -n caller wait pod caller --for=condition=Ready --timeout=60s
     ${kubectl} -n caller create token default >/tmp/token; cp ${folder}/kubeconfigs/admin.conf /tmp/old.conf`,
  );
});
afterAll(() => dropVm(name));

/** The status that the API server answers to a token of before the rotation. */
const statusOfOldToken = (): Promise<string> =>
  sh(
    vm,
    `curl -s -o /dev/null -w '%{http_code}' --cacert ${folder}/certs/ca.pem -H "Authorization: Bearer $(cat /tmp/token)" https://127.0.0.1:6443/api/v1/namespaces/caller/pods`,
  );

describe('while a Pod asks the API all the time', () => {
  test('the key of tokens is replaced: those of the old key and of the new one count, each Pod has a new one', async () => {
    const ended = await taken('service-account');
    expect(stagesOf(ended)).toEqual(['trust started', 'trust done', 'sign started', 'sign done']);
    expect(await statusOfOldToken()).toBe('200');
  });

  test('every CA is replaced: the old kubeconfig counts too, the controller-manager signs with the new CA', async () => {
    const fingerprint = `openssl x509 -in ${folder}/certs/ca.pem -noout -fingerprint`;
    const old = await sh(vm, fingerprint);
    expect(stagesOf(await taken('ca'))).toEqual(['trust started', 'trust done', 'sign started', 'sign done']);
    expect(await sh(vm, fingerprint)).not.toBe(old);
    await sh(vm, 'kubectl --kubeconfig /tmp/old.conf get nodes');
    await sh(
      vm,
      `cd /tmp; openssl req -new -newkey rsa:2048 -nodes -keyout p.key -subj /CN=person -out p.csr 2>/dev/null
       ${kubectl} create -f - <<END
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: person}
spec: {signerName: kubernetes.io/kube-apiserver-client, usages: [client auth], request: $(base64 -w0 p.csr)}
END
       ${kubectl} certificate approve person
       ${kubectl} wait csr person --for=jsonpath='{.status.certificate}' --timeout=10s
       ${kubectl} get csr person -o jsonpath='{.status.certificate}' | base64 -d >p.pem
       openssl x509 -in ${folder}/certs/ca.pem -out new-ca.pem
       openssl verify -CAfile new-ca.pem p.pem`,
    );
    expect(succeeded(await hardway(vm, ['status'])).stdout).toContain('hardway certs rotate ca --finish');
    await tryLesson(vm, 'rotation', 'en');
    for (const format of ['sh', 'md'])
      expect(succeeded(await hardway(vm, ['transcript', '--format', format])).stdout).not.toContain('PRIVATE KEY');
    succeeded(await hardway(vm, ['check']));
  });

  test('with --finish only the new CA counts: the old kubeconfig is refused, the new one is not', async () => {
    expect(stagesOf(await taken('ca', '--finish'))).toEqual(['finish started', 'finish done']);
    await expect(sh(vm, 'kubectl --kubeconfig /tmp/old.conf get nodes')).rejects.toThrow('exit code 1');
    await sh(vm, `${kubectl} get nodes; [ "$(grep -c BEGIN ${folder}/certs/ca.pem)" = 1 ]`);
  });

  test('no request of the Pod has failed but while the API server was started again, and the Pod is the same', async () => {
    const all = await calls();
    expect(all.length).toBeGreaterThan(200);
    expect(new Set(all.map(({ ca }) => ca))).toEqual(new Set(['ca.crt', 'first']));
    // 60: the server's certificate is not one that the CA signed. 401: the token does not count.
    expect(all.filter(({ exit, status }) => exit === '60' || status === '401')).toEqual([]);
    // One that had begun is cut. The API server takes its address out of the Service until it is ready: kube-proxy
    // puts it back within a second, on a machine with much to do within some.
    const during = ({ at }: Call): boolean => restarts.some(({ from, to }) => at > from - 2 && at < to + 5);
    const outside = all.filter((call) => failed(call) && !during(call));
    expect(outside, JSON.stringify(restarts)).toEqual([]);
    expect(restarts).toHaveLength(5);
    for (const { from, to } of restarts) expect(to - from).toBeLessThan(30); // 4 s on a machine that does nothing else
    const restarted = "jsonpath='{.status.containerStatuses[0].restartCount}'";
    expect(await sh(vm, `${kubectl} -n caller get pod caller -o ${restarted}`)).toBe('0');
  });
});

test('a rotation that is killed at any point goes on with the same command; up makes the lab whole meanwhile and names it', async () => {
  await killed(['ca'], stage('trust started'));
  await killed(['ca'], step('etcd started'));
  await killed(['ca'], stage('sign started'));
  await killed(['ca'], step('certificates started'));
  await killed(['ca'], step('kube-apiserver started'));
  const upped = succeeded(await up(vm));
  expect(upped.stderr).toMatch(/rotation of ca was interrupted at its stage sign .*hardway certs rotate ca goes on/);
  succeeded(await hardway(vm, ['check']));
  const early = await hardway(vm, ['certs', 'rotate', 'ca', '--finish']);
  expect(early).toMatchObject({ code: 2, stderr: expect.stringContaining('next: hardway certs rotate ca') });
  expect(stagesOf(await taken('ca'))).toEqual(['sign started', 'sign done']);
  await killed(['ca', '--finish'], step('kubelet started'));
  expect(stagesOf(await taken('ca', '--finish'))).toEqual(['finish started', 'finish done']);
  succeeded(await hardway(vm, ['check']));
});

test('an old key of tokens is dropped only when no token without an end is left of it; no Pod is refused then', async () => {
  const refused = await hardway(vm, ['certs', 'rotate', 'service-account', '--finish']);
  expect(refused.code, refused.stderr).toBe(2);
  expect(refused.stderr).toContain('caller/endless');
  const [, patch = ''] = /-- (-n NAMESPACE patch .*\]')/.exec(refused.stderr) ?? [];
  await sh(vm, `${kubectl} ${patch.replace('NAMESPACE', 'caller').replace('NAME', 'endless')}`);
  await until(vm, `[ -n "$(${kubectl} -n caller get secret endless -o 'jsonpath={.data.token}')" ]`);
  expect(stagesOf(await taken('service-account', '--finish'))).toEqual(['finish started', 'finish done']);
  expect(await statusOfOldToken()).toBe('401');
  expect(await sh(vm, `cat ${folder}/rotation.json`)).not.toContain('PRIVATE KEY');
  expect((await hardway(vm, ['status'])).stdout).not.toContain('rotate');
  expect((await calls()).filter(({ status }) => status === '401')).toEqual([]);
  succeeded(await hardway(vm, ['check']));
});

test('a CA that is none of this lab is refused', async () => {
  const refused = await hardway(vm, ['certs', 'rotate', 'ca', 'etcd']);
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('one of: ca, etcd-ca, front-proxy-ca') });
});

test('a torn record of a rotation is named by every command; without it up makes the lab whole', async () => {
  await killed(['ca'], step('kube-apiserver started'));
  const record = `${folder}/rotation.json`;
  await sh(vm, `truncate -s 200 ${record}`);
  for (const ran of [await up(vm), await hardway(vm, ['certs', 'rotate', 'ca'])])
    expect(ran).toMatchObject({ code: 2, stderr: expect.stringContaining(`${record} cannot be read`) });
  const status = await hardway(vm, ['status']);
  expect(status.code).toBe(2);
  expect(status.stdout).toMatch(/^certificates +NOT HEALTHY\n.*rotation\.json cannot be read/m);
  await sh(vm, `rm ${record}`);
  succeeded(await up(vm));
  succeeded(await hardway(vm, ['check']));
});

test('a reset in the middle of a rotation leaves nothing', async () => {
  await killed(['ca'], step('etcd started'));
  expect(await hardway(vm, ['reset', '--yes'])).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('the host is as it was before'),
  });
});
