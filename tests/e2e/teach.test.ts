import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readLesson } from '../../bin/teach/lesson.ts';
import type { Vm } from '../../lib/vm/vm.ts';
import { observations, observed, runEvents, stepIds, story } from './events.ts';
import { tryLesson } from './lessons.ts';
import { dropVm, freshVm, hardway, sh, succeeded, up } from './lib.ts';

const demoObjects = (vm: Vm): Promise<string> =>
  sh(vm, 'hardway kubectl -- get deployments,replicasets,pods,services,ingresses -l hardway/demo -o name');

describe('a learner who takes one step after the other', () => {
  const name = 'teach-next';
  let vm: Vm;
  beforeAll(async () => {
    vm = await freshVm(name);
  });
  afterAll(() => dropVm(name));

  test.each(stepIds)(
    'next takes %s, tells it, and each command of its lesson shows what the lesson says',
    async (id) => {
      const { code, stdout, stderr } = await hardway(vm, ['next', '--cni', 'bridge', '--lang', 'en']);
      expect([code, stderr]).toEqual([0, '']);
      const { title } = await readLesson(id, 'en');
      expect(stdout).toContain(`# ${title}`);
      expect(stdout).toMatch(new RegExp(`^${id}: step ${stepIds.indexOf(id) + 1} of ${stepIds.length}$`, 'm'));
      const following = stepIds[stepIds.indexOf(id) + 1];
      expect(stdout.trimEnd().split('\n').at(-1)).toContain(
        following ? `hardway next (${following})` : 'the last step',
      );
      await tryLesson(vm, id, 'en');
    },
  );

  test('the last step leaves nothing of the story behind', async () => {
    expect(await demoObjects(vm)).toBe('');
  });

  test('next says that there is no step left', async () => {
    const { code, stderr } = await hardway(vm, ['next']);
    expect(code).toBe(2);
    expect(stderr).toContain('all 14 are done');
    expect(stderr).toContain('hardway back');
  });

  test('back and next tell the last component again, and the last step to a program: nothing but events', async () => {
    expect((await hardway(vm, ['back', '--yes'])).code).toBe(0);
    expect((await hardway(vm, ['back', '--yes'])).code).toBe(0);
    const { code, stdout } = await hardway(vm, ['next', '--lang', 'fr']);
    expect(code).toBe(0);
    expect(stdout).toContain('maintenant son nom marche aussi');
    const last = succeeded(await hardway(vm, ['next', '--lang', 'fr', '--json']));
    expect(last.stderr).toBe('');
    const events = runEvents(last.stdout);
    expect(story(events)).toEqual([
      ...stepIds.slice(0, -1).map((id) => `${id} skipped`),
      'smoke started',
      'smoke healthy',
      'smoke observed',
    ]);
    expect(observed(events)).toEqual(observations({ cni: 'bridge', with: [] }, ['smoke'], 'fr'));
    expect(events.at(-1)).toMatchObject({ event: 'done', ok: true });
    expect(await demoObjects(vm)).toBe('');
  });

  test('explain walks the chains of a Service, tells the story of a Pod and of a request', async () => {
    const ofService = await hardway(vm, ['explain', 'service', 'kube-dns', '-n', 'kube-system', '--lang', 'en']);
    expect(ofService.stdout).toMatch(/KUBE-SERVICES\n {2}-> KUBE-SVC-\w{16}\n {5}-> KUBE-SEP-\w{16} /);
    expect(ofService.stdout).toMatch(/= 100\.0 % {2}DNAT 10\.200\.0\.\d+:53 {2}coredns-/);
    const pod = await sh(
      vm,
      "hardway kubectl -- -n kube-system get pods -l k8s-app=kube-dns -o jsonpath='{.items[0].metadata.name}'",
    );
    const { stdout } = await hardway(vm, ['explain', 'pod', pod, '-n', 'kube-system', '--lang', 'en']);
    const who = stdout
      .split('\n')
      .slice(1)
      .map((line) => line.split(/ {2,}/)[1]);
    const order = ['kube-apiserver', 'replicaset-controller', 'default-scheduler', 'containerd, CNI', 'kubelet'];
    const places = order.map((one) => who.indexOf(one));
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    expect(places).not.toContain(-1);
    const request = (await hardway(vm, ['explain', 'request', '--lang', 'en'])).stdout;
    for (const words of ['kubernetes-admin', 'system:node:kubernetes', '/registry/configmaps/default/kube-root-ca.crt'])
      expect(request).toContain(words);
    expect((await hardway(vm, ['explain', 'cert', 'apiserver', '--lang', 'fr'])).stdout).toContain('10.32.0.1');
  });

  test('what cannot be explained is said, with what there is', async () => {
    const of = async (...args: string[]) => {
      const { code, stderr } = await hardway(vm, ['explain', ...args]);
      expect(code).toBe(2);
      return stderr;
    };
    expect(await of('kube-shceduler')).toContain('did you mean kube-scheduler');
    expect(await of('service', 'nothing')).toContain('one of: kubernetes');
    expect(await of('pod', 'nothing')).toContain('there is no Pod nothing');
    expect(await of('cert', 'apiserer')).toContain('did you mean apiserver');
  });
});

describe('a learner at a terminal of 80 by 24', () => {
  const name = 'teach-pause';
  let vm: Vm;
  beforeAll(async () => {
    vm = await freshVm(name);
  });
  afterAll(() => dropVm(name));

  const screen = () => sh(vm, 'tmux capture-pane -p -t lesson');
  const press = (...keys: readonly string[]) => sh(vm, `tmux send-keys -t lesson ${keys.join(' ')}`);
  const type = (text: string) =>
    sh(vm, `tmux send-keys -t lesson -l ${JSON.stringify(text)}; tmux send-keys -t lesson Enter`);
  const shows = async (pattern: RegExp) => {
    await expect.poll(screen, { timeout: 120_000, interval: 300 }).toMatch(pattern);
    return screen();
  };
  /** The title of a step's screen after it was taken, with the keys below. */
  const after = (id: string) =>
    new RegExp(`^ hardway \\d+/14 {2}[■□]+ {2}${id}\\n[\\s\\S]* x {2}arrêter ; tout reste\\n`);
  const before = (id: string) =>
    new RegExp(`^ hardway \\d+/14 {2}[■□]+ {2}${id} +pas encore lancé\\n[\\s\\S]*PRONOSTIC`);
  /** In a session of its own; the server of one that was killed takes a moment to go. */
  const start = async (command: string) => {
    await sh(
      vm,
      `tmux kill-server 2>/dev/null || :
       until LANG=C.UTF-8 tmux -u new-session -d -s lesson -x 80 -y 24 bash --norc 2>/dev/null; do sleep 0.1; done`,
    );
    await type(`clear; ${command}`);
  };

  test('is greeted in French, from LANG, and shown the way of the steps', async () => {
    await start('LANG=fr_FR.UTF-8 hardway up --cni bridge --pause=preflight,etcd,kube-apiserver,kubelet');
    await shows(/Comptez deux heures[\s\S]*commencer/);
    await press('p');
    expect(await shows(/14 {2}smoke/)).toContain(' 5  etcd : ');
    await press('q');
    await shows(/Comptez deux heures/);
    await press('Space');
  });

  test('sees what does not work, guesses, and is told whether it was right once the step is taken', async () => {
    expect(await shows(before('preflight'))).toMatch(/\$ kubectl version\n +kubectl: not found/);
    await press('1');
    expect(await shows(after('preflight'))).toContain('✗ c’était « net.ipv4.ip_forward »');
    await press('Space');
    expect(await shows(before('etcd'))).toMatch(/etcdctl endpoint health[\s\S]*unhealthy/);
    await press('1');
    const seen = await shows(after('etcd'));
    for (const words of [
      '7 du guide',
      '✓ il est vide',
      'serving client traffic securely',
      '✓ juste :',
      '[ ] Écrivez une clé',
    ])
      expect(seen).toContain(words);
  });

  test('is told of a key that is none, and reads flags, answers, log and a word explained', async () => {
    await press('z');
    await shows(/pas de touche z ici/);
    await press('o');
    expect(await shows(/page 1 sur \d/)).toContain('sans cela :');
    await press('q');
    await shows(after('etcd'));
    await press('r');
    await shows(/Pourquoi seul le serveur d’API[\s\S]*la réponse/);
    await press('Space');
    await shows(/Lui seul vérifie/);
    await press('q');
    await shows(after('etcd'));
    await press('j');
    await shows(/page 1 sur \d/);
    await press('q');
    await shows(after('etcd'));
    await press('m');
    await shows(/quel mot \?/);
    await type('taint');
    await shows(/une marque sur un Node/);
    await press('q');
    await shows(after('etcd'));
  });

  test('does a task in a shell that knows the cluster, sees it ticked in the prompt, and comes back', async () => {
    await press('s');
    await shows(/\(hardway ·\)/);
    await type('clear; etcdctl put /hello "from a learner" >/dev/null; sleep 4');
    await shows(/\(hardway ✓\) [^\n]*#\s*$/);
    await type('exit');
    expect(await shows(after('etcd'))).toContain('[✓] Écrivez une clé /hello');
  });

  test('who stopped a component during the pause is told, and a key repairs it', async () => {
    await sh(vm, 'systemctl stop etcd');
    await press('Space');
    await shows(/La touche a le répare[\s\S]*etcd: /);
    await press('a');
    await shows(/réparé : etcd/);
    expect(await sh(vm, 'systemctl is-active etcd')).toBe('active');
    await press('Space');
    await shows(before('kube-apiserver'));
    await press('Space');
    await shows(after('kube-apiserver'));
  });

  test('who deleted the Deployment during the pause is told, and a key puts it back', async () => {
    await sh(vm, 'hardway kubectl -- delete deployment web');
    await press('Space');
    await shows(/La touche a le répare[\s\S]*Deployment web/);
    await press('a');
    await shows(/réparé/);
    expect(await sh(vm, 'hardway kubectl -- get deployment web -o name')).toBe('deployment.apps/web');
  });

  test('who leaves by Ctrl-C is told the line that goes on, and comes back to the same screen', async () => {
    await press('C-c');
    await shows(/next: hardway up --pause --lang fr goes on from here/);
    await start('hardway up --pause=kube-apiserver --lang fr');
    await shows(after('kube-apiserver'));
  });

  test('who needs lines types a key and Enter, and stops for today', async () => {
    await press('x');
    await shows(/arrêté pour aujourd’hui/);
    await start('hardway up --pause=kube-apiserver --lang fr --plain');
    await shows(/une touche, puis Entrée : *\s*$/);
    await type('z');
    await shows(/pas de touche z ici/);
    await type('x');
    await shows(/arrêté pour aujourd’hui/);
    expect(await sh(vm, 'hardway steps --json | grep -c appliedAt.:.2')).toBe('6');
  });

  test('goes on another day, to the end: every observation is asserted, and the story leaves nothing', async () => {
    const { code, stdout, stderr } = await up(vm, '--observe', '--lang', 'fr', '--json');
    expect([code, stderr]).toEqual([0, '']);
    const events = runEvents(stdout);
    const rest = stepIds.slice(stepIds.indexOf('kube-apiserver'));
    expect(story(events).filter((line) => line.endsWith(' observed'))).toEqual(rest.map((id) => `${id} observed`));
    expect(observed(events)).toEqual(observations({ cni: 'bridge', with: [] }, rest, 'fr'));
    expect(observed(events)).toContain('smoke: les Pods vivent toujours : il n’a fait que choisir leur Node');
    expect(await demoObjects(vm)).toBe('');
  });

  test('who wants to pause at a step that the lab has left behind is told how to get back to it', async () => {
    await start('LANG=fr_FR.UTF-8 hardway up --cni bridge --pause=etcd,kubelet');
    await shows(
      /pas de pause après etcd, kubelet : smoke est déjà là[\s\S]*hardway reset --to kubeconfigs, ou hardway back/,
    );
    await shows(/bash-5\.\d+#\s*$/);
    expect(await demoObjects(vm)).toBe('');
  });

  test('who went back to the API server hears the rest again as it was, though etcd remembers the first time', async () => {
    succeeded(await hardway(vm, ['reset', '--to', 'kube-apiserver', '--yes']));
    const told = observed(runEvents(succeeded(await up(vm, '--observe', '--lang', 'en', '--json')).stdout));
    const rest = stepIds.slice(stepIds.indexOf('kube-apiserver'));
    expect(told).toEqual(observations({ cni: 'bridge', with: [] }, rest, 'en'));
  });

  test('a language that no lesson is written in, and a pause in a pipe, are refused', async () => {
    const language = await up(vm, '--observe', '--lang', 'de');
    expect([language.code, language.stderr]).toEqual([2, expect.stringContaining('there is no language "de"')]);
    const pipe = await up(vm, '--pause');
    expect([pipe.code, pipe.stderr]).toEqual([2, expect.stringContaining('hardway next')]);
    const step = await up(vm, '--pause=kublet');
    expect(step.code).toBe(2);
  });
});
