import { afterAll, beforeAll, expect, test } from 'vitest';
import { readLesson } from '../../bin/teach/lesson.ts';
import type { Vm } from '../../lib/vm/vm.ts';
import { tryAll } from './lessons.ts';
import { dropVm, freshVm, hardway, sh, succeeded, up } from './lib.ts';

const name = 'tm-guide';
let vm: Vm;

beforeAll(async () => {
  vm = await freshVm(name);
});
afterAll(() => dropVm(name));

const admin = 'kubectl --kubeconfig /var/lib/hardway/kubeconfigs/admin.conf';
/** What a thief of the kubelet's credential gets of a Secret that no Pod of this node uses; errors too. */
const stolen = (): Promise<string> =>
  sh(
    vm,
    `${admin} create secret generic treasure --from-literal=word=xyzzy >/dev/null
     kubectl --kubeconfig /var/lib/hardway/kubeconfigs/kubelet.conf get secret treasure -o jsonpath='{.data.word}' 2>&1 || :`,
  );

test('with the guide’s one certificate a whole cluster works, it is said what that is for, and the story tells why it is bad', async () => {
  const ran = await up(vm, '--pki', 'guide', '--observe');
  expect(ran.code, ran.stdout + ran.stderr).toBe(0);
  expect(ran.stderr).toContain('whoever reads one component');
  expect(ran.stdout).toContain('the kubelet may read every Secret');
  succeeded(await hardway(vm, ['check']));
  expect(await sh(vm, 'LANG=fr_FR.UTF-8 hardway status')).toContain('qui lit la clé d’un composant');
  const sums = await sh(vm, 'cd /var/lib/hardway/certs; sha256sum admin.pem kubelet.pem apiserver.pem etcd-server.pem');
  expect(new Set(sums.split('\n').map((line) => line.split(' ')[0])).size).toBe(1);
});

test.each(['certificates', 'kubeconfigs'])('what the lesson of %s says of it is so', async (id) => {
  const { guideTrials } = await readLesson(id, 'en');
  await tryAll(vm, guideTrials, 'en');
});

test('whoever steals the kubelet’s credential there reads every Secret', async () => {
  expect(await stolen()).toBe(Buffer.from('xyzzy').toString('base64'));
});

test('a lab that is up keeps its PKI', async () => {
  const refused = await up(vm, '--pki', 'components');
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain('this lab has pki guide');
});

test('with a certificate a component the same theft gets nothing', async () => {
  succeeded(await hardway(vm, ['reset', '--to', 'binaries', '--yes']));
  const ran = await up(vm, '--pki', 'components', '--to', 'kubelet', '--observe');
  expect(ran.code, ran.stdout + ran.stderr).toBe(0);
  expect(ran.stdout).toContain('the kubelet may not read every Secret');
  expect(await stolen()).toContain('is forbidden: User "system:node:kubernetes" cannot get resource "secrets"');
});
