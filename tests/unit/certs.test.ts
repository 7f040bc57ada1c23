import { expect, test } from 'vitest';
import { readersOf } from '../../bin/certs/list.ts';
import { machineProblem } from '../../bin/certs/verify.ts';
import { requestsFor } from '../../steps/certificates.ts';
import { stepsWith } from '../../steps/index.ts';
import { plainLab } from '../fixtures.ts';

const steps = stepsWith(plainLab);

test('who uses a certificate is found in the flags, fields and kubeconfigs of the components', () => {
  expect(readersOf('etcd-server', steps)).toEqual(['etcd']);
  expect(readersOf('apiserver-etcd-client', steps)).toEqual(['kube-apiserver']);
  expect(readersOf('kube-scheduler', steps)).toEqual(['kube-scheduler']); // by its kubeconfig
  expect(readersOf('admin', steps)).toEqual([]);
});

test('every certificate of the lab is used by a component, signs others, or is a client of a person or of a check', async () => {
  const requests = await requestsFor(plainLab);
  const signers = new Set(requests.flatMap(({ signer }) => signer ?? []));
  const unused = requests
    .map(({ name }) => name)
    .filter((name) => readersOf(name, steps).length === 0 && !signers.has(name));
  expect(unused.filter((name) => !/^(admin|super-admin|etcd-client)$/.test(name))).toEqual([]);
});

test('a machine with another name or address than the certificates is named, with both', () => {
  const { node } = plainLab;
  expect(machineProblem(plainLab, node.name, ['127.0.0.1', node.address])).toBeUndefined();
  expect(machineProblem(plainLab, 'other', [node.address])).toBe(
    `this machine is called other, and the certificates name ${node.name}`,
  );
  expect(machineProblem(plainLab, node.name, ['127.0.0.1', '192.0.2.9'])).toContain('it has 127.0.0.1, 192.0.2.9');
});
