import { describe, expect, test } from 'vitest';
import { lookAtAll } from '../../bin/doctor/doctor.ts';
import {
  judgeClock,
  judgeConntrack,
  judgeDenials,
  judgeFlushes,
  judgeInotify,
  judgeLab,
  judgeMtu,
  judgeNameServers,
  judgeNoLab,
  judgeSources,
  percentile,
  type Seen,
} from '../../bin/doctor/judge.ts';
import { type Look, looks, type Subject } from '../../bin/doctor/looks.ts';
import { redacted, secretsIn } from '../../bin/doctor/redact.ts';
import { jsonLines, linesOf } from '../../bin/doctor/show.ts';
import type { Answer } from '../../lib/binaries/download.ts';
import type { Sources } from '../../lib/binaries/reach.ts';
import { UserError } from '../../lib/engine/errors.ts';

const problems = ({ findings }: Seen): readonly string[] => findings.map(({ problem }) => problem);

/** Expects one finding with these words, and that it has a cause and a command. */
const expectOne = (seen: Seen, problem: RegExp, cause: RegExp, hint: RegExp): void => {
  expect(seen.findings).toHaveLength(1);
  expect(seen.findings[0]).toEqual({
    problem: expect.stringMatching(problem),
    cause: expect.stringMatching(cause),
    hint: expect.stringMatching(hint),
  });
};

describe('name servers', () => {
  const server = { address: '10.0.0.3', path: '/etc/resolv.conf' };

  test('that answer are fine', () => {
    const seen = judgeNameServers([{ ...server, fault: undefined }], true);
    expect(seen).toEqual({ found: '10.0.0.3 answers', findings: [] });
  });

  test('one that does not answer is named, with the file that names it', () => {
    const other = { ...server, address: '10.0.0.4', fault: 'no answer within 2 s' };
    const seen = judgeNameServers([{ ...server, fault: undefined }, other], false);
    expectOne(
      seen,
      /10\.0\.0\.4 does not answer/,
      /\/etc\/resolv\.conf names it: no answer within 2 s/,
      /ip route get 10/,
    );
  });

  test('none at all is wrong only where something has to be fetched', () => {
    expect(problems(judgeNameServers([], false))).toEqual([]);
    expectOne(judgeNameServers([], true), /no name server/, /resolv\.conf/, /nameserver/);
  });
});

describe('the clock', () => {
  const at = Date.parse('2026-11-26T08:00:00Z');
  const answer = (seconds: number, host = 'a.example'): Answer => ({
    url: `https://${host}/x`,
    at,
    status: 200,
    date: at - seconds * 1000,
  });

  test.each([0, 1, -2, 60, -60])('is right where it differs by %i s', (seconds) => {
    expect(problems(judgeClock([answer(seconds)]))).toEqual([]);
  });

  test.each([
    [61, 'ahead'],
    [-3600, 'behind'],
  ])('is wrong where it differs by %i s: it is %s', (seconds, way) => {
    expectOne(judgeClock([answer(seconds)]), /2026-11-26T08:00:00/, new RegExp(way), /timedatectl set-ntp true/);
  });

  test('is judged by the nearest of the clocks that answer: one of them may be wrong', () => {
    expect(judgeClock([answer(9000), answer(2, 'b.example')])).toEqual({
      found: 'within 2 s of that of b.example',
      findings: [],
    });
  });

  test('is wrong where nobody answers because a certificate does not fit its time', () => {
    const refused = {
      url: 'https://a.example/x',
      at,
      problem: 'certificate is not yet valid',
      code: 'CERT_NOT_YET_VALID',
    };
    expectOne(judgeClock([refused]), /2026-11-26T08/, /not yet valid/, /timedatectl/);
    expect(problems(judgeClock([refused, answer(0, 'b.example')]))).toEqual([]);
  });

  test('is not judged where no other clock answers', () => {
    expect(judgeClock([{ url: 'https://a.example/x', at, problem: 'away' }])).toMatchObject({ findings: [] });
  });
});

test('an MTU below that of IPv6 is wrong, one of a VPN or of jumbo frames is not', () => {
  for (const mtu of [1280, 1400, 1500, 9001]) expect(problems(judgeMtu('eth0', mtu))).toEqual([]);
  expectOne(judgeMtu('eth0', 1279), /MTU of eth0 is 1279/, /set it/, /ip link set eth0 mtu 1500/);
});

describe('the disk of etcd', () => {
  const place = { point: '/srv', type: 'ext4' };

  test('is judged by the slowest but one in a hundred', () => {
    const times = Array.from({ length: 100 }, (_, index) => index + 1);
    expect(percentile(times.toReversed(), 0.99)).toBe(99);
    expect(percentile([7], 0.99)).toBe(7);
    const one = [...Array.from({ length: 99 }, () => 2), 500];
    expect(problems(judgeFlushes(one, place))).toEqual([]);
  });

  test('is slow where more than one in a hundred takes longer than 10 ms', () => {
    const seen = judgeFlushes([...Array.from({ length: 98 }, () => 2), 40, 40], place);
    expectOne(seen, /takes 40 ms .*; etcd wants 10 ms/, /\/srv \(ext4\).*median is 2\.0 ms/, /iostat|SSD/);
  });
});

describe('limits of the kernel', () => {
  const usage = (instances: number, watches: number) => ({
    instances: { used: instances, most: 128, by: '/usr/bin/much (pid 7)' },
    watches: { used: watches, most: 8192 },
  });

  test('inotify: what is left has to do for a lab, or for one that is here', () => {
    expect(problems(judgeInotify(usage(96, 100), false))).toEqual([]);
    const seen = judgeInotify(usage(100, 100), false);
    expectOne(seen, /128 inotify instances and has 100/, /\/usr\/bin\/much \(pid 7\)/, /max_user_instances=256$/);
    expect(problems(judgeInotify(usage(100, 100), true))).toEqual([]);
    expect(problems(judgeInotify(usage(125, 8000), true))).toHaveLength(2);
    expect(problems(judgeInotify(undefined, false))).toEqual([]);
  });

  test('conntrack: a table that is nearly full is wrong', () => {
    expect(problems(judgeConntrack({ used: 79, most: 100 }))).toEqual([]);
    expectOne(judgeConntrack({ used: 80, most: 100 }), /80 connections of at most 100/, /open/, /nf_conntrack_max=200/);
    expect(problems(judgeConntrack(undefined))).toEqual([]);
  });
});

describe('AppArmor', () => {
  const denied = (profile: string, comm: string, name: string): string =>
    `audit: type=1400 audit(1.0:2): apparmor="DENIED" operation="open" class="file" profile="${profile}" name="${name}" pid=9 comm="${comm}"`;
  const ours = { programs: ['kube-controller-manager', 'runc'], folders: ['/var/lib/containerd'] };

  test('what it denied a program of a lab is wrong, also where the kernel cut its name', () => {
    const seen = judgeDenials(denied('strict', 'kube-controller', '/etc/x'), ours);
    expectOne(seen, /denied kube-controller .* 1 times .*open \/etc\/x/, /profile strict/, /aa-complain strict/);
  });

  test('what it denied in a container is wrong, once a profile', () => {
    const line = denied('cri-containerd.apparmor.d', 'nginx', '/proc/x');
    expectOne(judgeDenials(`${line}\n${line}`, ours), /2 times/, /cri-containerd/, /Unconfined/);
  });

  test('what it denied others is theirs', () => {
    const log = `${denied('snap.firefox', 'firefox', '/etc/y')}\nother line\n`;
    expect(problems(judgeDenials(log, ours))).toEqual([]);
  });
});

describe('sources', () => {
  const answer = (host: string, more: Partial<Answer>): Answer => ({ url: `https://${host}/f`, at: 0, ...more });
  const away = answer('dl.example', { problem: 'no answer within 3 s' });
  const base: Sources = { programs: ['etcd', 'runc'], missing: ['runc'], mirrored: false, sites: [away] };

  test('nothing is wrong where the cache has all, or the sites answer, or Go can build', () => {
    expect(problems(judgeSources({ ...base, missing: [] }))).toEqual([]);
    expect(problems(judgeSources({ ...base, sites: [answer('dl.example', { status: 200 })] }))).toEqual([]);
    const go = { go: '/usr/bin/go', proxy: answer('proxy.example', { status: 200 }) };
    expect(problems(judgeSources({ ...base, ...go }))).toEqual([]);
    expect(problems(judgeSources({ ...base, go: '/usr/bin/go' }))).toEqual([]); // it asks no proxy
  });

  test('what no source has is named, with what each of them answered', () => {
    const seen = judgeSources({ ...base, go: '/usr/bin/go', proxy: answer('proxy.example', { status: 403 }) });
    expectOne(
      seen,
      /lacks runc, and no source/,
      /dl\.example does not answer .*proxy\.example answers 403/,
      /HARDWAY_MIRROR/,
    );
    expect(problems(judgeSources(base))).toHaveLength(1);
  });

  test('a proxy that asks for a password is told apart', () => {
    const refused = answer('dl.example', { problem: 'Proxy response (407) !== 200 when HTTP Tunneling' });
    expectOne(judgeSources({ ...base, sites: [refused] }), /no source/, /407/, /NAME:PASSWORD@/);
  });

  test('a mirror that does not answer is wrong whatever the cache has', () => {
    const seen = judgeSources({ ...base, missing: [], mirrored: true });
    expectOne(seen, /HARDWAY_MIRROR does not have https:\/\/dl\.example\/f/, /no answer/, /unset HARDWAY_MIRROR/);
  });
});

describe('a lab', () => {
  const failure = (phrase: string) => ({ phrase, reason: `why not ${phrase}` });

  test('is healthy where every check passed', () => {
    expect(judgeLab(14, [{ step: 'one', failures: [] }])).toEqual({
      found: '14 steps, every check of them passed',
      findings: [],
    });
  });

  test('has its fault at the first step that has one; what comes later is only counted', () => {
    const seen = judgeLab(3, [
      { step: 'one', failures: [] },
      { step: 'two', failures: [failure('it answers'), failure('it is quick')] },
      { step: 'three', failures: [failure('all is there')] },
    ]);
    expect(seen.findings).toHaveLength(3);
    expect(seen.findings[0]).toMatchObject({ problem: 'two: "it answers" is not so', cause: 'why not it answers' });
    expect(seen.findings[2]).toMatchObject({
      problem: '1 more check did not pass, of three',
      cause: expect.stringContaining('two'),
    });
  });

  test('that is not here is fine, one whose state is lost is not', () => {
    expect(problems(judgeNoLab(0))).toEqual([]);
    expectOne(judgeNoLab(7), /state\.json is not here, .* 7 changes/, /removed/, /hardway up/);
  });

  test('a check that could not be made is no fault', () => {
    const seen = judgeLab(1, [{ step: 'one', failures: [{ ...failure('x'), blind: true }] }]);
    expect(seen).toMatchObject({ findings: [], unseen: 'one, x: why not x' });
  });
});

describe('all looks', () => {
  const subject = {} as Subject; // these looks need nothing of it
  const look = (name: string, result: () => Promise<Seen>): Look => ({ name, look: result });
  const never = new AbortController().signal;

  test('are made at once, each is told, and a secret in one is not shown', async () => {
    const waits: (() => void)[] = [];
    const met = () =>
      new Promise<void>((resolve) => {
        if (waits.push(resolve) === 2) for (const done of waits) done();
      });
    const results = await lookAtAll(subject, never, [
      look('a', async () => met().then(() => ({ found: 'a', findings: [] }))),
      look('b', async () => met().then(() => ({ found: 'http://n:pass@proxy', findings: [] }))),
    ]);
    expect(results.map(({ found }) => found)).toEqual(['a', 'http://***@proxy']);
  });

  test('a refusal is a finding, told once; another error says that nobody could look', async () => {
    const refuse = async () => {
      throw new UserError('the file is not right:\n  a line\n  another', 'correct it');
    };
    const results = await lookAtAll(subject, never, [
      look('a', refuse),
      look('b', refuse),
      look('c', async () => {
        throw new Error('only root sees that');
      }),
    ]);
    expect(results.map(({ findings }) => findings.length)).toEqual([1, 0, 0]);
    expect(results[0]?.findings[0]).toEqual({
      problem: 'the file is not right:',
      cause: 'a line; another',
      hint: 'correct it',
    });
    expect(results[2]?.unseen).toBe('only root sees that');
  });

  test('have names that differ and fit their column', () => {
    const names = looks.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name.length).toBeLessThan(10);
  });

  test('are shown as a line each, and a line for what was found, its cause and the command', () => {
    const findings = [{ problem: 'it is away', cause: 'nobody started it', hint: 'start it' }];
    expect(linesOf({ name: 'x', found: 'seen', findings: [] })).toBe('x          fine  seen\n');
    expect(linesOf({ name: 'x', found: 'seen', findings, unseen: 'half' })).toBe(
      'x          WRONG seen\n  it is away\n    because: nobody started it\n    -> start it\n  could not be looked at: half\n',
    );
    const lines = jsonLines({ name: 'x', found: 'seen', findings, unseen: 'half' }).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { event: 'finding', look: 'x', problem: 'it is away', cause: 'nobody started it', hint: 'start it' },
      { event: 'finding', look: 'x', looked: false, reason: 'half' },
    ]);
  });
});

describe('a report has no secrets', () => {
  const key = [
    '-----BEGIN',
    'RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAx1\nq2W+e3/R4\n-----END',
    'RSA PRIVATE KEY-----',
  ].join(' ');
  const jwt = 'eyJhbGciOiJSUzI1NiIsImtpZCI6IjEi.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl-_x';

  test.each([
    ['a private key', `before\n${key}\nafter`, 'q2W+e3/R4'],
    ['a private key in JSON', JSON.stringify({ text: key }), 'q2W+e3/R4'],
    ['a private key that a log cut', key.slice(0, 60), 'MIIEowIBAAK'],
    [
      'the key of a kubeconfig',
      `client-key-data: ${Buffer.from(key).toString('base64')}`,
      Buffer.from(key).toString('base64').slice(4, 40),
    ],
    ['the token of a ServiceAccount', `mounted ${jwt} for`, jwt.slice(10, 40)],
    ['a bearer', 'Authorization: Bearer abc.def-ghi', 'abc.def-ghi'],
    ['name and password of a proxy', 'proxyconnect http://lab:p@ss:w0rd@proxy:3128: refused', 'w0rd'],
    ['a token in an address', 'GET https://s3cr3tt0k3n@mirror.example/x', 's3cr3tt0k3n'],
    ['a password flag', '--etcd-password=hunter2 --x', 'hunter2'],
    ['a password flag with a blank', '--password hunter2 --x', 'hunter2'],
    ['a field of JSON', '{"apiToken": "hunter2 and more", "x": 1}', 'hunter2'],
    ['a field of JSON in a string', JSON.stringify({ line: '{"password":"hunter2"}' }), 'hunter2'],
    ['a variable', "AWS_SECRET_ACCESS_KEY='hunter2'", 'hunter2'],
    ['the key of encrypted Secrets', 'secret: bm90LWEtcmVhbC1rZXktYnV0LTMyLWJ5dGVzLW9rISE=', 'bm90LWEt'],
    ['the same without its name', 'key1 Zm90LWEtcmVhbC1rZXktYnV0LTMyLWJ5dGVzLW9rISE= is', 'Zm90LWEt'],
    ['32 bytes in hex', 'k 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', 'c55ad015a3bf'],
    ['a token of kubeadm', 'join --discovery abcdef.0123456789abcdef now', '0123456789abcdef'],
    ['a token of GitHub', `cloned with ${['ghp', 'AbCdEfGhIjKlMnOpQrStUvWxYz'].join('_')}`, 'AbCdEfGhIjKl'],
  ])('%s goes', (_, text, secret) => {
    expect(text).toContain(secret);
    expect(redacted(text, [])).not.toContain(secret);
  });

  test.each([
    '--tls-private-key-file=/var/lib/hardway/certs/apiserver-key.pem',
    '--service-account-key-file=/var/lib/hardway/certs/service-account.pem',
    '--authorization-mode=Node,RBAC',
    'write /var/lib/hardway/config/encryption.yaml',
    'registry.k8s.io/pause@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
    '/var/lib/kubelet/pods/0b5f2c0e-1f7d-4f5e-9e36-6c1f2f3a4b5c/volumes/kubernetes.io~projected/kube-api-access-p2qs9',
    '2026-11-26T08:00:00.123Z etcd: write /etc/systemd/system/etcd.service',
    'dial tcp 10.240.0.10:6443: connect: connection refused',
  ])('%s stays', (text) => {
    expect(redacted(text, [])).toBe(text);
  });

  test('what the environment says is secret goes wherever it stands', () => {
    const known = secretsIn({ HTTPS_PROXY: 'http://lab:tr%40ubled@proxy:3128', MY_TOKEN: 'abc-xyz', HOME: '/root' });
    expect(redacted('tr@ubled tr%40ubled abc-xyz /root', known)).toBe('*** *** *** /root');
  });
});
