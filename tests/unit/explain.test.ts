import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { sortTimeline } from '../../bin/teach/explain/pod.ts';
import { drawPath, servicePaths } from '../../bin/teach/explain/service.ts';
import { explainWord } from '../../bin/teach/explain.ts';
import { exampleLab } from '../../lib/engine/lab.ts';
import { languages } from '../../lib/engine/text.ts';
import { components, stepsWith } from '../../steps/index.ts';
import { oddLab } from '../fixtures.ts';

/** As kube-proxy 1.36 writes them for two Services, the second without a Pod. */
const saved = `*filter
-A KUBE-SERVICES -d 10.32.0.70/32 -p tcp -m comment --comment "default/empty has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable
COMMIT
*nat
-A KUBE-SEP-AAAAAAAAAAAAAAAA -s 10.200.0.2/32 -m comment --comment "default/web" -j KUBE-MARK-MASQ
-A KUBE-SEP-AAAAAAAAAAAAAAAA -p tcp -m comment --comment "default/web" -m tcp -j DNAT --to-destination 10.200.0.2:8080
-A KUBE-SEP-BBBBBBBBBBBBBBBB -p tcp -m comment --comment "default/web" -m tcp -j DNAT --to-destination 10.200.0.3:8080
-A KUBE-SEP-CCCCCCCCCCCCCCCC -p tcp -m comment --comment "default/web" -m tcp -j DNAT --to-destination 10.200.0.4:8080
-A KUBE-SERVICES -d 10.32.0.69/32 -p tcp -m comment --comment "default/web cluster IP" -m tcp --dport 3000 -j KUBE-SVC-LOLE4ISW44XBNF3G
-A KUBE-SERVICES -d 10.32.0.71/32 -p tcp -m comment --comment "default/web-other cluster IP" -m tcp --dport 80 -j KUBE-SVC-OTHER
-A KUBE-SVC-LOLE4ISW44XBNF3G ! -s 10.200.0.0/16 -d 10.32.0.69/32 -p tcp -m comment --comment "default/web cluster IP" -m tcp --dport 3000 -j KUBE-MARK-MASQ
-A KUBE-SVC-LOLE4ISW44XBNF3G -m comment --comment "default/web -> 10.200.0.2:8080" -m statistic --mode random --probability 0.33333333349 -j KUBE-SEP-AAAAAAAAAAAAAAAA
-A KUBE-SVC-LOLE4ISW44XBNF3G -m comment --comment "default/web -> 10.200.0.3:8080" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-BBBBBBBBBBBBBBBB
-A KUBE-SVC-LOLE4ISW44XBNF3G -m comment --comment "default/web -> 10.200.0.4:8080" -j KUBE-SEP-CCCCCCCCCCCCCCCC
COMMIT
`;

test('each Pod of a Service gets the same share, whatever its rule says', () => {
  const paths = servicePaths(saved, 'default/web');
  expect(paths).toHaveLength(1);
  expect(paths[0]?.ends.map(({ share }) => share.toFixed(3))).toEqual(['0.333', '0.333', '0.333']);
  expect(paths[0]?.ends.map(({ to }) => to)).toEqual(['10.200.0.2:8080', '10.200.0.3:8080', '10.200.0.4:8080']);
});

test('a Service is not taken for another whose name begins like its own', () => {
  expect(servicePaths(saved, 'default/web').map(({ port }) => port)).toEqual(['default/web']);
  expect(servicePaths(saved, 'default/we')).toEqual([]);
});

test('the drawing names chains, probabilities and Pods', () => {
  const [path] = servicePaths(saved, 'default/web');
  const drawn = path && drawPath(path, new Map([['10.200.0.3', 'web-b']]), 'en');
  expect(drawn).toBe(`default/web  10.32.0.69:3000
  KUBE-SERVICES
  -> KUBE-SVC-LOLE4ISW44XBNF3G
     -> KUBE-SEP-AAAAAAAAAAAAAAAA  0.33 of what comes here
        = 33.3 %  DNAT 10.200.0.2:8080
     -> KUBE-SEP-BBBBBBBBBBBBBBBB  0.50 of the rest
        = 33.3 %  DNAT 10.200.0.3:8080  web-b
     -> KUBE-SEP-CCCCCCCCCCCCCCCC  all that is left
        = 33.3 %  DNAT 10.200.0.4:8080`);
});

test('a Service without a Pod is refused, and drawn so', () => {
  const [path] = servicePaths(saved, 'default/empty');
  expect(path && drawPath(path, new Map(), 'fr')).toContain('-> REJECT  personne derrière');
});

test('what happened to a Pod within one second stands in the order of cause and effect', () => {
  const at = '2026-01-01T00:00:01Z';
  const deeds = [
    { at, who: 'kubelet', what: 'Started: Container started' },
    { at: '2026-01-01T00:00:01.5Z', who: 'default-scheduler', what: 'Scheduled: to kubernetes' },
    { at, who: 'kube-apiserver', what: 'stored Pod web-1' },
    { at, who: 'deployment-controller', what: 'ScalingReplicaSet: from 0 to 1' },
    { at: '2026-01-01T00:00:00Z', who: 'kube-apiserver', what: 'stored Deployment web' },
  ];
  expect(sortTimeline(deeds).map(({ who }) => who)).toEqual([
    'kube-apiserver',
    'deployment-controller',
    'kube-apiserver',
    'default-scheduler',
    'kubelet',
  ]);
});

test('a component is explained by its lesson, its flags with their reasons, and its certificates', async () => {
  const text = await explainWord('kube-scheduler', { lab: exampleLab }, 'fr');
  expect(text).toContain('# kube-scheduler : un Node pour chaque Pod');
  expect(text).toMatch(/--leader-elect=false\n {6}il n’y en a pas de second/);
  expect(text).toContain('kube-scheduler: CN=system:kube-scheduler, O=system:kube-scheduler; CA ca;');
});

test('below each flag and each setting stands what would be without it', async () => {
  const apiserver = await explainWord('kube-apiserver', { lab: exampleLab }, 'en');
  expect(apiserver).toMatch(
    /--authorization-mode=Node,RBAC\n {6}a kubelet sees .*\n {6}without it: the default is Always/,
  );
  const kubelet = await explainWord('kubelet', { lab: exampleLab }, 'fr');
  expect(kubelet).toContain('## /var/lib/hardway/config/kubelet.yaml');
  expect(kubelet).toMatch(/ {2}authorization\.mode: Webhook\n {6}sans cela : rien/);
  const containerd = await explainWord('containerd', { lab: oddLab }, 'en');
  expect(containerd).toContain('containerd.runtimes.runc.options.\n    SystemdCgroup: false\n      without it: ');
});

test.each(components.flatMap((id) => languages.map((language) => [id, language] as const)))(
  'the page of %s in %s fits a terminal of 80 columns, commands of its lesson aside',
  async (id, language) => {
    for (const lab of [exampleLab, oddLab]) {
      const page = await explainWord(id, { lab }, language);
      const prose = page.replaceAll(/^```sh\n.*?^```/gms, '');
      // A path is not broken, so that it can be copied.
      expect(prose.split('\n').filter((line) => line.length > 80 && !/^ *\/\S+$/.test(line))).toEqual([]);
    }
  },
);

test('a word of the glossary is explained in the language asked for, and a wrong one names the nearest', async () => {
  expect(await explainWord('Taint', { lab: exampleLab }, 'fr')).toMatch(/^taint : une marque/);
  await expect(explainWord('tiant', { lab: exampleLab }, 'en')).rejects.toThrow('did you mean taint');
});

test.each([
  ['en', 'a week'],
  ['fr', 'une semaine'],
] as const)('the glossary in %s says for how long the API server keeps events', async (language, week) => {
  const flags = stepsWith(exampleLab).flatMap(({ daemon }) => daemon?.flags ?? []);
  expect(flags.find(({ name }) => name === 'event-ttl')?.value).toBe('168h');
  const glossary = parse(await readFile(join(import.meta.dirname, `../../lessons/${language}/glossary.yaml`), 'utf8'));
  expect(glossary.event).toContain(week);
});
