import { randomUUID } from 'node:crypto';
import { askEtcd, base64, etcdCredentials, etcdUrl } from '../lib/cluster/etcd.ts';
import { requestText } from '../lib/cluster/http.ts';
import { ensureRunning, supervisorOf } from '../lib/daemons/supervisor.ts';
import { requireFolderOf } from '../lib/daemons/users.ts';
import { check } from '../lib/engine/check.ts';
import { flag, underOwnUser } from '../lib/engine/daemon.ts';
import { UserError } from '../lib/engine/errors.ts';
import type { Lab } from '../lib/engine/lab.ts';
import type { Step } from '../lib/engine/step.ts';
import { statIfThere } from '../lib/host/files.ts';
import { certFile, keyFile, paths } from '../lib/host/paths.ts';
import { etcdctl } from './by-hand.ts';
import { fails, observe, says } from './observe.ts';
import { doIt } from './tasks.ts';

/** Folder of etcd's data. It was created with the data, and a restart of etcd keeps it. */
export const store = `${paths.etcd}/member`;

/** Account that etcd runs under, whose its data are. */
const user = 'etcd';

const peer = 'https://127.0.0.1:2380';

const daemon = (lab: Lab) =>
  underOwnUser({
    name: 'etcd',
    description: 'etcd: the store of everything that Kubernetes knows',
    binary: `${paths.bin}/etcd`,
    after: ['network.target'],
    flags: [
      flag('name', lab.node.name),
      flag('data-dir', paths.etcd),
      flag('listen-client-urls', etcdUrl),
      flag('advertise-client-urls', etcdUrl),
      flag('listen-peer-urls', peer),
      flag('initial-advertise-peer-urls', peer),
      flag('initial-cluster', `${lab.node.name}=${peer}`),
      flag('cert-file', certFile('etcd-server')),
      flag('key-file', keyFile('etcd-server')),
      flag('client-cert-auth'),
      flag('trusted-ca-file', certFile('etcd-ca')),
      flag('peer-cert-file', certFile('etcd-server')),
      flag('peer-key-file', keyFile('etcd-server')),
      flag('peer-client-cert-auth'),
      flag('peer-trusted-ca-file', certFile('etcd-ca')),
      flag('tls-min-version', 'TLS1.3'),
    ],
    writes: paths.etcd,
  });

const lostStore = `${store} was deleted while etcd runs: the objects are only in files that etcd holds open`;

/** Tells whether etcd runs without its folder. One that has just started has not made it yet. */
const hasLostStore = async (lab: Lab): Promise<boolean> => {
  if (await statIfThere(`${store}/wal`)) return false;
  const [status] = await supervisorOf(lab).statuses(['etcd']);
  return status?.active === true && Date.now() - status.since > 10_000;
};

/** Throws UserError where etcd's data were deleted while it runs: a restart would lose what can still be saved. */
const refuseLostStore = async (lab: Lab): Promise<void> => {
  if (!(await hasLostStore(lab))) return;
  throw new UserError(
    lostStore,
    'hardway shell, etcdctl snapshot save /root/etcd.db saves them; then hardway reset --to kubeconfigs (all objects go) and hardway up',
  );
};

export const etcd: Step = {
  id: 'etcd',
  holdsObjects: true,
  title: 'etcd',
  needs: { programs: ['etcd', 'etcdctl', 'etcdutl'] },
  ports: [
    { number: 2379, at: 'loopback' },
    { number: 2380, at: 'loopback' },
  ],
  account: user,
  daemon,

  async apply({ lab, host }) {
    if (!host.dryRun) await refuseLostStore(lab);
    await ensureRunning({ lab, host }, daemon(lab));
  },

  byHand: { proofs: () => [`${etcdctl} endpoint health`] },

  checks: [
    check('its data are on the disk', async ({ lab }) => {
      if (await hasLostStore(lab)) throw new Error(lostStore);
    }),
    check('its data belong to its user, and nobody else enters', () => requireFolderOf(paths.etcd, user)),
    check(`answers ${etcdUrl}/readyz to a client with a certificate`, async () => {
      await requestText(`${etcdUrl}/readyz`, { credentials: etcdCredentials });
    }),
    check('gives back what was put into it', async () => {
      const key = base64(`/hardway/check/${randomUUID()}`); // two looks at the same time must not meet
      const value = base64(String(Date.now()));
      await askEtcd('put', { key, value });
      const { kvs } = await askEtcd<{ kvs?: { value: string }[] }>('range', { key });
      await askEtcd('deleterange', { key });
      if (kvs?.[0]?.value !== value) throw new Error(`put ${value}, got ${kvs?.[0]?.value ?? 'nothing'}`);
    }),
  ],

  teaching: () => ({
    before: [fails('etcdctl endpoint health --command-timeout=1s', says('refused'))],
    guideFlags: [
      'advertise-client-urls',
      'client-cert-auth',
      'data-dir',
      'cert-file',
      'key-file',
      'listen-client-urls',
      'trusted-ca-file',
    ],
    started: /serving client traffic securely/,
    tasks: [
      doIt(
        'hello-key',
        { en: 'Write a key /hello, with any value.', fr: 'Écrivez une clé /hello, avec la valeur de votre choix.' },
        { hint: 'etcdctl put /hello world', command: 'etcdctl get /hello --keys-only', shows: /^\/hello$/m },
      ),
    ],
  }),

  observations: () => [
    observe(
      { en: 'etcd answers whoever shows a certificate', fr: 'etcd répond à qui montre un certificat' },
      'etcdctl endpoint health',
      says('is healthy'),
    ),
    observe(
      { en: 'and nobody else', fr: 'et à personne d’autre' },
      'env -u ETCDCTL_CERT -u ETCDCTL_KEY etcdctl endpoint health --command-timeout=1s 2>&1 | tail -n 2',
      says('unhealthy'),
    ),
    observe(
      { en: 'it is empty: nobody has written anything yet', fr: 'il est vide : personne n’a encore rien écrit' },
      "etcdctl get '' --prefix --count-only --write-out=fields | grep Count",
      says('"Count" : 0'),
    ),
  ],
};
