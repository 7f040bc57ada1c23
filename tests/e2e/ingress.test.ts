import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Vm } from '../../lib/vm/vm.ts';
import { everyStep } from '../../steps/index.ts';
import { observations, observed, runEvents, stepIds, story } from './events.ts';
import { tryLesson } from './lessons.ts';
import { dropVm, freshVm, hardway, sh, succeeded, up } from './lib.ts';
import { bringNeedsOf } from './setup.ts';

const name = 'cal-ingress';
const host = 'dk.domain.tld';
const router = 'http://10.240.0.10:30080';

let vm: Vm;

/** What the router answers for a host: the body, then the status. */
const asked = (hostHeader: string, path: string): Promise<string> =>
  sh(vm, `curl -s -m 5 -w '\\n%{http_code}' -H 'Host: ${hostHeader}' ${router}${path}`);

beforeAll(async () => {
  await bringNeedsOf(everyStep);
  vm = await freshVm(name);
});
afterAll(() => dropVm(name));

test('a demo without a lab is refused, and told what to do', async () => {
  const { code, stderr } = await hardway(vm, ['demo']);
  expect(code).toBe(2);
  expect(stderr).toContain('hardway up');
});

test('the step ingress is there only where it was asked for', async () => {
  const { code, stderr } = await up(vm, '--to', 'ingress');
  expect(code).toBe(2);
  expect(stderr).toContain('--with ingress');
});

const lab = { cni: 'bridge', with: ['ingress'] } as const;
const before = stepIds.filter((id) => id !== 'smoke');

test('Traefik is added to a cluster that has none, nothing is started again for it, and its story is told', async () => {
  succeeded(await up(vm, '--to', 'coredns'));
  const flags = ['--with', 'ingress', '--to', 'ingress', '--observe', '--lang', 'fr', '--json'];
  const events = runEvents(succeeded(await up(vm, ...flags)).stdout);
  expect(story(events)).toEqual([
    ...before.map((id) => `${id} skipped`),
    'coredns observed',
    'ingress started',
    'ingress healthy',
    'ingress observed',
  ]);
  expect(observed(events)).toEqual(observations(lab, ['coredns', 'ingress'], 'fr'));
  expect(await sh(vm, 'kubectl get ingressclasses -o jsonpath={.items[*].spec.controller}')).toBe(
    'traefik.io/ingress-controller',
  );
});

test.each(['en', 'fr'] as const)('each command of its lesson shows what the lesson says, in %s', (language) =>
  tryLesson(vm, 'ingress', language),
);

test('lacks no right: Traefik was forbidden nothing', async () => {
  expect(await sh(vm, 'kubectl -n traefik logs deployment/traefik')).not.toMatch(/forbidden|"error"|ERR/);
});

test('the story goes on from there to the smoke test, and takes its Ingress away with the rest', async () => {
  const events = runEvents(succeeded(await up(vm, '--observe', '--lang', 'en', '--json')).stdout);
  expect(story(events).slice(before.length)).toEqual([
    'ingress skipped',
    'ingress observed',
    'smoke started',
    'smoke healthy',
    'smoke observed',
  ]);
  expect(observed(events)).toEqual(observations(lab, ['ingress', 'smoke'], 'en'));
  expect(await sh(vm, 'kubectl get deployments,replicasets,pods,services,ingresses -l hardway/demo -o name')).toBe('');
});

test('keeps its Ingress controller when it is not asked for again', async () => {
  const { code, stdout } = await up(vm, '--json');
  expect(code).toBe(0);
  expect(story(runEvents(stdout))).toContain('ingress skipped');
});

test('the demo answers through the node, the Service and a Pod to who asks for its host', async () => {
  const { code, stdout, stderr } = await hardway(vm, ['demo']);
  expect(code, stderr).toBe(0);
  expect(stdout).toContain(`curl -H 'Host: ${host}' ${router}/`);
  const pods = await sh(vm, 'kubectl -n hardway-demo get pods -o jsonpath={.items[*].metadata.name}');
  const [pod, status] = (await asked(host, '/hostname')).split('\n');
  expect(status).toBe('200');
  expect(pods.split(' ')).toContain(pod);
});

test('any other host gets a 404', async () => {
  expect(await asked('other.domain.tld', '/')).toMatch(/\n404$/);
});

test('a demo that is deleted leaves nothing, and its host gets a 404 too', async () => {
  const { code, stderr } = await hardway(vm, ['demo', '--delete']);
  expect(code, stderr).toBe(0);
  expect(await sh(vm, 'kubectl get namespace hardway-demo --ignore-not-found -o name')).toBe('');
  expect(await sh(vm, 'kubectl get ingresses,deployments -A -o name')).not.toContain('/web');
  await expect.poll(() => asked(host, '/'), { timeout: 20_000, interval: 200 }).toMatch(/\n404$/);
  expect((await hardway(vm, ['demo', '--delete'])).code).toBe(0);
});

test('a reset takes the ingress with it', async () => {
  const { code, stdout, stderr } = await hardway(vm, ['reset', '--yes']);
  expect(code, stdout + stderr).toBe(0);
  expect((await hardway(vm, ['steps'])).stdout).not.toContain('ingress');
});
