import { describe, expect, test } from 'vitest';
import { type Asked, type Facts, type Old, parseOptions, planOf, type RequestedOptions } from '../../bin/up/plan.ts';
import type { GivenCa, Lab } from '../../lib/engine/lab.ts';
import type { Given } from '../../lib/engine/settings.ts';
import type { State } from '../../lib/engine/state.ts';
import type { HostFacts } from '../../lib/host/facts.ts';
import { stepIds } from '../../steps/index.ts';
import { goodSurvey, oddLab, plainLab } from '../fixtures.ts';

const nothing: Asked = { source: { kind: 'auto' }, to: 'smoke' };
const nobody: Old = { state: undefined, supervisor: undefined, begun: false };
const machine: Facts = { host: goodSurvey, usualCni: 'calico', tmux: false };

/** A lab that is here up to a step. */
const here = (last: string, lab: Lab = plainLab): Old => {
  const done = stepIds.slice(0, stepIds.indexOf(last) + 1);
  const record = { fingerprint: 'f', at: '2026-01-01T00:00:00.000Z', seconds: 1 };
  const state: State = { version: 1, lab, steps: Object.fromEntries(done.map((id) => [id, record])) };
  return { state, supervisor: done.includes('etcd') ? lab.supervisor : undefined, begun: true };
};

const givenCa: GivenCa = {
  fingerprint: 'AA',
  certificate: '/root/ca.pem',
  key: '/root/ca-key.pem',
  ends: '2040-01-01T00:00:00.000Z',
  chain: '',
};

const plan = (
  asked: Partial<Asked> = {},
  {
    file = {},
    old = nobody,
    host = {},
    ...facts
  }: Partial<{ file: Given; old: Old; host: Partial<HostFacts>; tmux: boolean; given: GivenCa }> = {},
): Lab =>
  planOf({ ...file, ...nothing, ...asked }, old, {
    ...machine,
    ...facts,
    host: { ...goodSurvey, ...host },
  });

describe('a lab on a machine without one', () => {
  test('is as usual where nothing is asked for', () => {
    expect(plan()).toEqual({ ...plainLab, cni: 'calico' });
  });

  test('is what is asked for', () => {
    const asked = {
      cni: 'bridge',
      pki: 'guide',
      supervisor: 'tmux',
      extra: 'ingress',
      registryMirror: 'https://m.example',
    } as const;
    expect(plan(asked)).toMatchObject({
      ...{ cni: 'bridge', pki: 'guide', supervisor: 'tmux', with: ['ingress'], registryMirror: 'https://m.example' },
    });
  });

  test('has the Kubernetes of the settings file, by its minor version too, and that of the option before it', () => {
    expect(plan({}, { file: { kubernetes: 'v1.35' } }).kubernetes).toBe('v1.35.8');
    expect(plan({ kubernetes: 'v1.36.3' }, { file: { kubernetes: 'v1.35.8' } }).kubernetes).toBe('v1.36.3');
    expect(() => plan({}, { file: { kubernetes: 'v1.35.2' } })).toThrow(
      'no Kubernetes "v1.35.2"; did you mean v1.35.8',
    );
  });

  test('has the networks and the domain of the settings file, and the addresses that follow from them', () => {
    expect(plan({}, { file: { serviceCIDR: '10.96.0.0/16', domain: 'lab.test' } })).toMatchObject({
      serviceCIDR: '10.96.0.0/16',
      apiServiceAddress: '10.96.0.1',
      dnsAddress: '10.96.0.10',
      domain: 'lab.test',
    });
  });
});

describe('a lab that is here already', () => {
  test('stays what it is where nothing else is asked for', () => {
    const lab = { ...plainLab, pki: 'guide', with: ['ingress'], registryMirror: 'https://m.example' } as const;
    expect(plan({}, { old: here('smoke', lab) })).toEqual(lab);
  });

  test('keeps its networks and its domain where nobody says otherwise', () => {
    const lab = { ...plainLab, podCIDR: '10.99.0.0/16', domain: 'lab.test' };
    expect(plan({}, { old: here('smoke', lab) })).toMatchObject({ podCIDR: '10.99.0.0/16', domain: 'lab.test' });
  });

  test('gets an extra beside those that it has', () => {
    expect(plan({ extra: 'ingress' }, { old: here('smoke') }).with).toEqual(['ingress']);
    const lab = { ...plainLab, with: ['ingress'] };
    expect(plan({ extra: 'ingress' }, { old: here('smoke', lab) }).with).toEqual(['ingress']);
  });

  test('follows the machine to another address', () => {
    const node = { interface: 'eth0', address: '10.240.0.77' };
    expect(plan({}, { old: here('smoke'), host: { node } }).node.address).toBe('10.240.0.77');
  });

  test.each<[string, Partial<Asked>, Given]>([
    ['cni', { cni: 'calico' }, {}],
    ['pki', { pki: 'guide' }, {}],
    ['podCIDR', {}, { podCIDR: '10.99.0.0/16' }],
    ['serviceCIDR', {}, { serviceCIDR: '10.98.0.0/16' }],
    ['domain', {}, { domain: 'other.test' }],
  ])('cannot get another %s once it has objects, and can before', (field, asked, file) => {
    expect(() => plan(asked, { file, old: here('etcd') })).toThrow(`this lab has ${field} `);
    expect(plan(asked, { file, old: here('kubeconfigs') })).toMatchObject({ ...asked, ...file });
  });

  test('keeps a CA that was given and templates of one’s own, and cannot get another CA once it has objects', () => {
    const ca = { ...givenCa, fingerprint: 'AA' };
    const lab = { ...plainLab, ca, templates: { apiserver: { years: 2 } } };
    expect(plan({}, { old: here('smoke', lab) })).toEqual(lab);
    expect(plan({}, { old: here('smoke', lab), given: { ...ca, certificate: '/elsewhere/ca.pem' } }).ca).toEqual({
      ...ca,
      certificate: '/elsewhere/ca.pem',
    });
    const given = { ...givenCa, fingerprint: 'BB' };
    expect(() => plan({}, { old: here('etcd', lab), given })).toThrow('this lab has the CA /root/ca.pem; another one');
    expect(() => plan({}, { old: here('etcd'), given })).toThrow('this lab has a CA of its own; another one');
    expect(plan({}, { old: here('kubeconfigs', lab), given }).ca).toEqual(given);
    expect(() => plan({ pki: 'guide' }, { given })).toThrow('with --pki guide one CA is that of etcd');
  });

  test('keeps its minor version of Kubernetes, at the patch release that this hardway has', () => {
    expect(plan({}, { old: here('smoke', { ...plainLab, kubernetes: 'v1.35.1' }) }).kubernetes).toBe('v1.35.8');
  });

  test('with a minor version that this hardway has not is refused before anything of it is looked up', () => {
    const old = here('smoke', { ...plainLab, kubernetes: 'v1.30.2' });
    expect(() => plan({}, { old })).toThrow('this lab has Kubernetes v1.30.2, and this hardway has v1.36.3, v1.35.8');
    expect(() => plan({ kubernetes: 'v1.35.8' }, { old })).toThrow('goes up one minor version at a time');
  });

  test('goes up one minor version of Kubernetes, never down, and either way before it has objects', () => {
    const older: Lab = { ...plainLab, kubernetes: 'v1.35.8' };
    expect(plan({ kubernetes: 'v1.36.3' }, { old: here('smoke', older) }).kubernetes).toBe('v1.36.3');
    expect(() => plan({ kubernetes: 'v1.35.8' }, { old: here('etcd') })).toThrow('never goes down a minor version');
    expect(() => plan({}, { old: here('etcd'), file: { kubernetes: 'v1.35' } })).toThrow('never goes down');
    expect(plan({ kubernetes: 'v1.35.8' }, { old: here('kubeconfigs') }).kubernetes).toBe('v1.35.8');
  });

  test('cannot get another name once it has objects', () => {
    const host = { hostName: 'other' };
    expect(() => plan({}, { old: here('etcd'), host })).toThrow('now named other, but its Node lab-1');
    expect(plan({}, { old: here('kubeconfigs'), host }).node.name).toBe('other');
  });

  test('keeps the supervisor under which its components run, although the state is lost', () => {
    const lost: Old = { state: undefined, supervisor: 'tmux', begun: true };
    expect(plan({}, { old: lost }).supervisor).toBe('tmux');
    expect(() => plan({ supervisor: 'systemd' }, { old: lost })).toThrow('this lab has supervisor tmux');
  });
});

test('a machine that is not fit is refused with all that speaks against it, before anything else of the lab', () => {
  const host = { cpus: 1, memoryBytes: 1e9 };
  expect(() => plan({ pki: 'guide' }, { old: here('etcd'), host })).toThrow(
    /not fit; nothing was changed\n {2}1 CPU.*\n.*\n {2}1\.0 GB/,
  );
});

test('tmux is refused where it is not here and cannot be installed', () => {
  expect(() => plan({ supervisor: 'tmux' }, { host: { apt: false } })).toThrow('tmux is not here');
  expect(plan({ supervisor: 'tmux' }, { host: { apt: false }, tmux: true }).supervisor).toBe('tmux');
});

describe('the resolv.conf for Pods', () => {
  const chosen = (...servers: string[]) => {
    const resolvers = [
      { path: '/etc/resolv.conf', servers },
      { path: '/run/systemd/resolve/resolv.conf', servers: ['192.0.2.1'] },
    ];
    return plan({}, { host: { resolvers } }).machine.resolvConf;
  };

  test('is the usual one', () => {
    expect(chosen('10.240.0.3')).toBe('/etc/resolv.conf');
    expect(chosen('fe80::1', '10.33.0.1')).toBe('/etc/resolv.conf');
  });

  test.each(['127.0.0.53', '::1', '0.0.0.0', '::ffff:127.0.0.1', '10.32.0.10', '10.200.7.9'])(
    'is another one where %s is in it, which leads back to CoreDNS',
    (server) => {
      expect(chosen('10.240.0.3', server)).toBe('/run/systemd/resolve/resolv.conf');
    },
  );
});

test('what the machine needs to be adapted to is in its lab', () => {
  const { machine: odd } = oddLab;
  const host = {
    cgroup: 'v1',
    canLowerOomScoreAdj: false,
    canSetConntrackLimits: false,
    resolvers: [],
    swap: true,
    ufw: true,
  } as const;
  expect(plan({}, { host }).machine).toEqual(odd);
});

describe('the options', () => {
  test('of a folder of files go together', () => {
    expect(parseOptions({ source: 'dir', from: '/srv' }).source).toEqual({ kind: 'dir', from: '/srv' });
    expect(() => parseOptions({ from: '/srv' })).toThrow('not of --source auto');
    expect(parseOptions({ from: '/srv' }, {}, { source: 'dir' }).source).toEqual({ kind: 'dir', from: '/srv' });
  });

  test('that are not given ask for nothing', () => {
    expect(parseOptions({})).toEqual({ source: { kind: 'auto' }, to: stepIds.at(-1) });
  });

  test.each<[keyof RequestedOptions, string, RegExp]>([
    ['to', 'etc', /"etc"; did you mean etcd\?/],
    ['source', 'relase', /"relase"; did you mean release\?/],
    ['cni', 'bridg', /"bridg"; did you mean bridge\?/],
    ['pki', 'guid', /"guid"; did you mean guide\?/],
    ['supervisor', 'tmuc', /"tmuc"; did you mean tmux\?/],
    ['with', 'ingres', /"ingres"; did you mean ingress\?/],
    ['registryMirror', 'http://10.0.0.1', /not an https address/],
  ])('%s: %s is refused with what is right', (option, value, words) => {
    expect(() => parseOptions({ source: 'auto', [option]: value })).toThrow(words);
  });
});
