import { describe, expect, test } from 'vitest';
import { admission, auditPolicy, authentication, clusterAdmins } from '../../steps/admission.ts';
import { requestsFor } from '../../steps/certificates.ts';
import { kubeApiserver } from '../../steps/kube-apiserver.ts';
import { oddLab, plainLab } from '../fixtures.ts';

interface Rule {
  readonly level: string;
  readonly verbs?: readonly string[];
  readonly resources?: readonly { readonly group: string; readonly resources: readonly string[] }[];
}

/** The level of the first rule that fits, as kube-apiserver takes it (kubernetes.io/docs/tasks/debug/debug-cluster/audit). */
const levelOf = (verb: string, group: string, resource: string): string | undefined =>
  (auditPolicy.rules as readonly Rule[]).find(
    ({ verbs, resources }) =>
      (verbs?.includes(verb) ?? true) &&
      (resources?.some((one) => one.group === group && one.resources.includes(resource)) ?? true),
  )?.level;

describe('the audit policy', () => {
  test.each([
    ['get', 'secrets'],
    ['list', 'secrets'],
    ['watch', 'secrets'],
    ['get', 'pods/exec'],
    ['get', 'nodes/proxy'],
    ['create', 'pods'],
    ['delete', 'configmaps'],
  ])('writes down who does what and when, not what is in it: %s %s', (verb, resource) => {
    expect(levelOf(verb, '', resource)).toBe('Metadata');
  });

  test('leaves out the other reads, and leases', () => {
    expect(levelOf('get', '', 'configmaps')).toBe('None');
    expect(levelOf('watch', 'apps', 'deployments')).toBe('None');
    expect(levelOf('update', 'coordination.k8s.io', 'leases')).toBe('None');
  });

  test('has no level that would write down a body', () => {
    expect(auditPolicy.rules.filter(({ level }) => level !== 'None' && level !== 'Metadata')).toEqual([]);
  });
});

test('who shows nothing may ask for health only, and no flag says otherwise', () => {
  expect(authentication.anonymous.conditions.map(({ path }) => path)).toEqual(['/livez', '/readyz', '/healthz']);
  expect(kubeApiserver.daemon?.(plainLab).flags.map(({ name }) => name)).not.toContain('anonymous-auth');
});

test('each plugin that has settings is on, by a flag or by default', () => {
  const enabled = kubeApiserver.daemon?.(plainLab).flags.find(({ name }) => name === 'enable-admission-plugins')?.value;
  const names = admission(plainLab).plugins.map(({ name }) => name);
  expect(names.filter((name) => name !== 'PodSecurity' && !enabled?.split(',').includes(name))).toEqual([]);
});

test('Pods of a namespace without a label have the level of the lab', () => {
  const levelIn = (lab: typeof plainLab) =>
    JSON.stringify(admission(lab).plugins.find(({ name }) => name === 'PodSecurity')?.configuration);
  expect(levelIn(plainLab)).toContain('"enforce":"baseline"');
  expect(levelIn(oddLab)).toContain('"enforce":"privileged"');
});

test('the group that the binding gives its rights to is that of the admin; only super-admin does without', async () => {
  const groupOf = async (name: string) =>
    (await requestsFor(plainLab)).find((request) => request.name === name)?.names.map(({ O }) => O);
  expect(await groupOf('admin')).toEqual(clusterAdmins.subjects.map(({ name }) => name));
  const masters = (await requestsFor(plainLab)).filter(({ names }) => names.some(({ O }) => O === 'system:masters'));
  expect(masters.map(({ name }) => name)).toEqual(['super-admin']);
});
