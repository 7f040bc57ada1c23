import { afterAll, beforeAll, expect, test } from 'vitest';
import { execInVm, type Vm } from '../../lib/vm/vm.ts';
import { components, stepIds } from './events.ts';
import { dropVm, freshVm, hardway, sh, succeeded, up } from './lib.ts';

const names = ['tm-made', 'tm-hand'] as const;
let made: Vm;
let hand: Vm;
let script: string;

beforeAll(async () => {
  made = await freshVm(names[0]);
  hand = await freshVm(names[1]);
  succeeded(await up(made));
  const ran = await hardway(made, ['transcript', '--format', 'sh']);
  succeeded(ran);
  expect(ran.stderr).toBe('');
  script = ran.stdout;
});
afterAll(async () => {
  for (const name of names) await dropVm(name);
});

/** Writes a file in the VM by hand: its text is the input, not an argument. */
const put = async (vm: Vm, path: string, text: string): Promise<void> => {
  succeeded(await execInVm(vm, ['sh', '-c', `cat >${path}`], { input: text }));
};

test('there is no private key and no word of a Secret in it', async () => {
  const secrets = await sh(
    made,
    `for f in /var/lib/hardway/certs/*-key.pem; do sed -n 3p $f; done; sed -n 's/.*secret: //p' /var/lib/hardway/config/encryption.yaml`,
  );
  expect(secrets.split('\n').length).toBeGreaterThan(15);
  for (const secret of secrets.split('\n')) expect(script).not.toContain(secret);
  expect(script).not.toContain('PRIVATE KEY');
});

test('the script brings up the same cluster on a clean machine', async () => {
  await put(hand, '/root/lab.sh', script);
  const ran = await execInVm(hand, ['bash', '/root/lab.sh']);
  expect(ran.code, ran.stdout + ran.stderr).toBe(0);
  const files = `cd /; sha256sum etc/systemd/system/*.service etc/cni/net.d/* etc/crictl.yaml $(find var/lib/hardway/config -name '*.toml' -o -name 'a*.yaml' -o -name 'kube*t.yaml' -o -name 'kube-proxy.yaml')`;
  expect(await sh(hand, files)).toBe(await sh(made, files));
  const pods = "kubectl get pods -A -o jsonpath='{range .items[*]}{.metadata.labels}{.status.phase}{end}'";
  expect(await sh(hand, pods)).toBe(await sh(made, pods));
});

test('and hardway finds every step of it healthy, but that kubectl writes kubeconfigs in its own way', async () => {
  await put(hand, '/var/lib/hardway/state.json', await sh(made, 'cat /var/lib/hardway/state.json'));
  for (const step of stepIds.filter((id) => id !== 'kubeconfigs')) succeeded(await hardway(hand, ['check', step]));
});

test('it does not run over a lab', async () => {
  await put(made, '/root/lab.sh', script);
  expect(await execInVm(made, ['bash', '/root/lab.sh'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('hardway reset'),
  });
});

test('the hand-out has each step with its lesson, its commands and room for notes, in both languages', async () => {
  for (const [language, notes, run] of [
    ['en', '### Notes', '### What was run'],
    ['fr', '### Notes', '### Ce qui a été lancé'],
  ] as const) {
    const { stdout, code } = await hardway(made, ['transcript', '--lang', language]);
    expect(code).toBe(0);
    for (const heading of [notes, run]) expect(stdout.split(`\n${heading}\n`)).toHaveLength(stepIds.length + 1);
    for (const component of components) expect(stdout).toContain(`ExecStart=/var/lib/hardway/bin/${component} `);
    expect(stdout).not.toContain('PRIVATE KEY');
  }
});

test('another format is refused with those that there are', async () => {
  const refused = await hardway(made, ['transcript', '--format', 'mdd']);
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('md') });
});
