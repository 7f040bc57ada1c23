import { afterAll, beforeAll, expect, test } from 'vitest';
import { paths } from '../../lib/host/paths.ts';
import { execInVm, type Vm } from '../../lib/vm/vm.ts';
import { components, stepIds } from './events.ts';
import { dropVm, freshVm, hardway, sh, succeeded, up } from './lib.ts';

const names = ['tm-made', 'tm-hand'] as const;
let made: Vm;
let hand: Vm;
let script: string;
/** A word that stands in a Secret of the cluster while its story is told. */
let secret: string;

beforeAll(async () => {
  made = await freshVm(names[0]);
  hand = await freshVm(names[1]);
  succeeded(await up(made));
  const ran = await hardway(made, ['transcript', '--format', 'sh']);
  succeeded(ran);
  expect(ran.stderr).toBe('');
  script = ran.stdout;

  // The same lab once more, as a story.
  succeeded(await hardway(made, ['reset', '--to', 'kubeconfigs', '--yes']));
  succeeded(await up(made, '--observe', '--to', 'kube-apiserver'));
  secret = await sh(
    made,
    'word=$(openssl rand -hex 16); hardway kubectl -- create secret generic planted --from-literal=word=$word >&2; echo $word',
  );
  succeeded(await up(made, '--observe'));
});
afterAll(async () => {
  for (const name of names) await dropVm(name);
});

/** Writes a file in the VM by hand: its text is the input, not an argument. */
const put = async (vm: Vm, path: string, text: string): Promise<void> => {
  succeeded(await execInVm(vm, ['sh', '-c', `cat >${path}`], { input: text }));
};

const handOut = async (language = 'en'): Promise<string> =>
  succeeded(await hardway(made, ['transcript', '--lang', language])).stdout;

/** What the hand-out says of a step. */
const partOf = (text: string, step: (typeof stepIds)[number]): string =>
  text.split(/^## \d+\. /m)[stepIds.indexOf(step) + 1] ?? '';

test('there is no private key and no word of a Secret in it, nor in what was recorded for it', async () => {
  const keys = await sh(
    made,
    `for f in /var/lib/hardway/certs/*-key.pem; do sed -n 3p $f; done; sed -n 's/.*secret: //p' /var/lib/hardway/config/encryption.yaml`,
  );
  expect(keys.split('\n').length).toBeGreaterThan(15);
  expect(secret).toMatch(/^[0-9a-f]{32}$/);
  const secrets = [...keys.split('\n'), secret, Buffer.from(secret).toString('base64')];
  for (const text of [script, await handOut(), await sh(made, `cat ${paths.seen}`)]) {
    for (const one of secrets) expect(text).not.toContain(one);
    expect(text).not.toContain('PRIVATE KEY');
    expect(text).not.toMatch(/\beyJ[\w-]{16}/); // the head of a token
  }
});

test('the script brings up the same cluster on a clean machine', async () => {
  await put(hand, '/root/lab.sh', script);
  const ran = await execInVm(hand, ['bash', '/root/lab.sh']);
  expect(ran.code, ran.stdout + ran.stderr).toBe(0);
  const files = `cd /; sha256sum etc/systemd/system/*.service etc/cni/net.d/* etc/crictl.yaml $(find var/lib/hardway/config -name '*.toml' -o -name 'a*.yaml' -o -name 'kube*t.yaml' -o -name 'kube-proxy.yaml')`;
  expect(await sh(hand, files)).toBe(await sh(made, files));
  // The hash of a template also stands for the CA, which is another one here.
  const pods = `kubectl get pods -A -o jsonpath='{range .items[*]}{.metadata.labels}{.status.phase}{end}' | sed 's/"pod-template-hash":"[^"]*"//g'`;
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

test('it shows below each observation what was seen then, though much of it is no longer so', async () => {
  const text = await handOut();
  for (const [step, seen] of [
    ['etcd', /"Count" : 0\n/],
    ['kube-apiserver', /deployment\.apps\/web +0\/2/],
    ['kube-scheduler', /no nodes available to schedule pods/],
    ['kubelet', /NotReady[\s\S]*cni plugin not initialized/],
    ['network', /1\/1 +Running[\s\S]*--probability 0\.50000000000/],
    ['smoke', /Created pod: web-/],
  ] as const)
    expect(partOf(text, step)).toMatch(new RegExp(`\`\`\`\`text\\n[\\s\\S]*${seen.source}`));
  expect(partOf(text, 'containerd')).toContain('crictl pods --quiet\n  ```\n\n  The command prints nothing.\n');
  expect(text).not.toContain('Not recorded');
  expect(await handOut('fr')).not.toContain('Non enregistré');
  expect(await sh(made, `stat -c %a ${paths.seen}`)).toBe('600');
});

test('what was seen goes with the step, and the hand-out says how it is recorded again', async () => {
  succeeded(await hardway(made, ['reset', '--to', 'coredns', '--yes']));
  expect(await sh(made, `cat ${paths.seen}`)).not.toContain('Created pod: web-');
  succeeded(await up(made));
  const text = await handOut();
  expect(partOf(text, 'smoke')).not.toContain('Created pod: web-');
  expect(partOf(text, 'coredns')).toContain('  connected\n');
  const [, back = '', next = ''] =
    /Not recorded: `(hardway .*?)`, then `(hardway .*?)`/.exec(partOf(text, 'smoke')) ?? [];
  await sh(made, `${back} --yes; ${next}`);
  expect(partOf(await handOut(), 'smoke')).toContain('Created pod: web-');
});

test('another format is refused with those that there are', async () => {
  const refused = await hardway(made, ['transcript', '--format', 'mdd']);
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('md') });
});
