import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { proxyByHand, proxySettings } from '../../steps/proxy.ts';
import { plainLab } from '../fixtures.ts';

/** What a shell makes of the file; systemd reads this form alike (systemd.exec(5), EnvironmentFile=). */
const read = (text: string): Record<string, string> => {
  const shell = execFileSync('env', ['-i', 'sh', '-c', `set -a; ${text}\nenv`], { encoding: 'utf8' });
  const { PWD: _, ...others } = Object.fromEntries(
    shell
      .trim()
      .split('\n')
      .map((line) => line.split(/=(.*)/s)),
  );
  return others;
};

test('what containerd pulls goes through the proxy of this run, but for this machine and the cluster', () => {
  const env = { HTTPS_PROXY: 'http://me:p%40$s@proxy.example:3128', no_proxy: 'intranet.example' };
  const { HTTPS_PROXY, NO_PROXY = '', ...others } = read(proxySettings(plainLab, env) ?? '');
  expect(HTTPS_PROXY).toBe(env.HTTPS_PROXY);
  expect(others).toEqual({});
  const { node, podCIDR, serviceCIDR, domain } = plainLab;
  const direct = ['intranet.example', '127.0.0.1', node.address, podCIDR, serviceCIDR, '.svc', `.${domain}`];
  expect(NO_PROXY.split(',')).toEqual(expect.arrayContaining(direct));
});

test('a quote in a proxy ends nothing', () => {
  expect(read(proxySettings(plainLab, { HTTP_PROXY: "http://x'; touch /y #@proxy" }) ?? '')['HTTP_PROXY']).toBe(
    'http://x%27;%20touch%20/y%20#@proxy',
  );
});

test('a run without proxy variables leaves that of an earlier one, and one that empties them has none', () => {
  expect(proxySettings(plainLab, {})).toBeUndefined();
  expect(proxySettings(plainLab, { NO_PROXY: 'x' })).toBeUndefined();
  expect(proxySettings(plainLab, { HTTPS_PROXY: '' })).toBe('');
});

test('by hand it is the proxy of whoever types it: no password is in a transcript', () => {
  expect(proxyByHand(plainLab).join('\n')).toContain("HTTPS_PROXY='$HTTPS_PROXY'");
});
