import { expect, test } from 'vitest';
import { withStart } from '../../lib/cluster/objects.ts';

const workload = (kind: string) => ({
  apiVersion: 'apps/v1',
  kind,
  metadata: { name: 'web' },
  spec: { replicas: 1, template: { metadata: { labels: { app: 'web' }, annotations: { mine: 'x' } }, spec: {} } },
});

test.each(['Deployment', 'DaemonSet'])(
  'the Pods of a %s are other ones when what they take at their start has changed, and keep what they had',
  (kind) => {
    const [one, again, other] = ['ca', 'ca', 'another'].map((ca) => withStart(workload(kind), ca));
    expect(again).toEqual(one);
    expect(other).not.toEqual(one);
    expect(one).toMatchObject(workload(kind));
  },
);

test('what makes no Pods is left as it is', () => {
  const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' } };
  expect(withStart(service, 'ca')).toBe(service);
});
