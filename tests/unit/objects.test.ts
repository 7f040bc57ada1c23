import { expect, test } from 'vitest';
import { withCaChecksum } from '../../lib/cluster/objects.ts';

const workload = (kind: string) => ({
  apiVersion: 'apps/v1',
  kind,
  metadata: { name: 'web' },
  spec: { replicas: 1, template: { metadata: { labels: { app: 'web' }, annotations: { mine: 'x' } }, spec: {} } },
});

test.each(['Deployment', 'DaemonSet'])(
  'the Pods of a %s are other ones under another CA, and keep what they had',
  (kind) => {
    const [one, again, other] = ['ca', 'ca', 'another'].map((ca) => withCaChecksum(workload(kind), ca));
    expect(again).toEqual(one);
    expect(other).not.toEqual(one);
    expect(one).toMatchObject(workload(kind));
  },
);

test('what makes no Pods is left as it is', () => {
  const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' } };
  expect(withCaChecksum(service, 'ca')).toBe(service);
});
