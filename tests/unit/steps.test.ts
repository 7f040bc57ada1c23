import { isAbsolute } from 'node:path';
import { describe, expect, test } from 'vitest';
import { imageReference, usualKubernetes, versions } from '../../lib/binaries/versions.ts';
import { filesReadBy, handedPath } from '../../lib/engine/daemon.ts';
import { cnis, type Lab } from '../../lib/engine/lab.ts';
import { needsOf } from '../../lib/engine/step.ts';
import { paths } from '../../lib/host/paths.ts';
import { configuration, containerd } from '../../steps/containerd.ts';
import { components, everyStep, extras, stepIds, stepsWith } from '../../steps/index.ts';
import { oddLab, plainLab } from '../fixtures.ts';

test('a lab has what it was not asked for nowhere among its steps', () => {
  expect(stepsWith(plainLab).map(({ id }) => id)).toEqual(stepIds.filter((id) => id !== 'ingress'));
});

describe.each(cnis)('the steps with %s', (cni) => {
  const steps = stepsWith({ ...plainLab, cni, with: extras });

  test('have the ids that people may name, in the order of the guide', () => {
    expect(steps.map(({ id }) => id)).toEqual(stepIds);
    expect(new Set(stepIds).size).toBe(stepIds.length);
  });

  test('have a title and checks with a phrase each', () => {
    for (const { id, title, checks: healthy } of steps) {
      expect(title, id).not.toBe('');
      expect(healthy.length, id).toBeGreaterThan(0);
      expect(new Set(healthy.map(({ phrase }) => phrase)).size, id).toBe(healthy.length);
      for (const { phrase } of healthy) expect(phrase, id).toMatch(/\w/);
    }
  });

  test('fit a terminal of 80 by 24: in the list of a run a line each, its time behind it, and in tables a column', () => {
    expect(steps.length).toBeLessThan(24);
    for (const { id, title } of steps) {
      expect(`✔ ${title}  unchanged`.length, id).toBeLessThanOrEqual(80);
      expect(id.length, id).toBeLessThanOrEqual(24);
    }
  });
});

const daemons = [plainLab, oddLab].flatMap((lab) =>
  stepsWith(lab).flatMap(({ id, daemon }) => (daemon ? [[id, daemon] as const] : [])),
);

describe.each(daemons)('the daemon of %s', (id, daemon) => {
  test('is the component of its step, started from our binary', () => {
    expect(daemon.name).toBe(id);
    expect(components).toContain(id);
    expect(daemon.description).toMatch(new RegExp(`^${id}: `));
    expect(daemon.binary).toBe(`${paths.bin}/${id}`);
  });

  test('has each flag once, with a value that is written', () => {
    expect(new Set(daemon.flags.map(({ name }) => name)).size).toBe(daemon.flags.length);
    for (const { name, value } of daemon.flags) {
      expect(name).toMatch(/^[a-z][-a-z]*$/);
      expect(value ?? 'none', name).not.toMatch(/^$|undefined|\[object/);
    }
  });

  test('comes after components of earlier steps, and units of the machine by their full name', () => {
    const earlier = components.slice(0, components.indexOf(id));
    for (const unit of daemon.after) if (!unit.endsWith('.target')) expect(earlier).toContain(unit);
  });

  test('starts again for every certificate, key, kubeconfig and configuration file that its flags name', () => {
    const named = daemon.flags.flatMap(({ name, value }) => (/file|cert|key$|ca$|config$/.test(name) && value) || []);
    const ours = named.filter((value) => isAbsolute(value));
    expect(ours.length).toBeGreaterThan(0);
    const sources = ours.map(
      (value) => daemon.handed?.find((file) => value === handedPath(daemon.name, file)) ?? value,
    );
    expect(filesReadBy(daemon)).toEqual(expect.arrayContaining(sources));
  });

  test('speaks only to this machine, where it can be told so', () => {
    for (const { name, value } of daemon.flags) {
      if (/^(bind-address|listen-.*urls)$/.test(name)) expect(value, name).toMatch(/^(https:\/\/)?127\.0\.0\.1/);
    }
  });
});

test('a lab of another Kubernetes has nothing of the usual one in its inputs, its unit files and its objects', async () => {
  const differ = (['pause', 'coredns', 'agnhost'] as const).map((name) => imageReference(name));
  const older: Lab = { ...plainLab, kubernetes: 'v1.35.8' };
  for (const step of stepsWith(older)) {
    const text = JSON.stringify([await step.inputs?.(), step.daemon]);
    for (const usual of [usualKubernetes(), ...differ]) expect(text, step.id).not.toContain(usual);
  }
  expect(JSON.stringify(configuration(older))).toContain(imageReference('pause', 'v1.35.8'));
});

test('the steps need every program of versions.yaml that is not packed into an image, and every image', () => {
  const { products, images } = versions();
  const packed = Object.values(images).map(({ binary }) => binary);
  const all = Object.values(products).flatMap(({ packages }) => Object.keys(packages));
  const needs = needsOf(everyStep);
  expect([...needs.programs, ...needs.plugins].toSorted()).toEqual(
    all.filter((name) => !packed.includes(name)).toSorted(),
  );
  expect(needs.images.toSorted()).toEqual(Object.keys(images).toSorted());
});

test('what a lab needs comes in the order in which its steps may begin: containerd, which starts early, first', () => {
  const { programs, identities } = needsOf(stepsWith(plainLab));
  const others = components.filter((name) => programs.includes(name) && name !== containerd.id);
  expect(programs.filter((name) => components.includes(name))).toEqual([containerd.id, ...others]);
  expect(identities).toEqual([
    'admin',
    'super-admin',
    'kube-controller-manager',
    'kube-scheduler',
    'kubelet',
    'kube-proxy',
  ]);
});
