import { isDeepStrictEqual } from 'node:util';
import { stringify } from 'yaml';
import { apiOf, superAdminApiOf } from '../lib/cluster/api.ts';
import { ensureRunning } from '../lib/daemons/supervisor.ts';
import { requireFolderOf } from '../lib/daemons/users.ts';
import { check, until } from '../lib/engine/check.ts';
import { flag, underOwnUser } from '../lib/engine/daemon.ts';
import type { Lab, PkiProfile } from '../lib/engine/lab.ts';
import type { Context, Step } from '../lib/engine/step.ts';
import { readIfThere, requireAccess } from '../lib/host/files.ts';
import { certFile, keyFile, kubeconfigFile, paths } from '../lib/host/paths.ts';
import {
  admission,
  admissionFile,
  auditFile,
  auditPolicy,
  authentication,
  authenticationFile,
  clusterAdmins,
} from './admission.ts';
import { heredoc, kubectl } from './by-hand.ts';
import { beginDemo, demoFile, web } from './demo.ts';
import { encryption, encryptionConfig, requireEncryptionKey } from './encryption.ts';
import { store } from './etcd.ts';
import { act, all, fails, notYet, observe, says, saysNot } from './observe.ts';
import { doIt } from './tasks.ts';

/** Its files beside the flags, without the one that has the key of Secrets. */
const filesOf = (lab: Lab): readonly (readonly [string, object])[] => [
  [authenticationFile, authentication],
  [admissionFile, admission(lab)],
  [auditFile, auditPolicy],
];

/** Account that kube-apiserver runs under. */
const user = 'kube-apiserver';

/** Common name of the proxy that may act for users. */
const proxies: Readonly<Record<PkiProfile, string>> = { components: 'front-proxy-client', guide: 'admin' };

const daemon = (lab: Lab) =>
  underOwnUser({
    name: 'kube-apiserver',
    description: 'kube-apiserver: the one door to the cluster',
    binary: `${paths.bin}/kube-apiserver`,
    // Without etcd it does not stop by itself; it has no state to lose.
    service: ['TimeoutStopSec=5'],
    killAtOnce: true,
    after: ['network.target', 'etcd'],
    reads: [store],
    flags: [
      flag('etcd-servers', 'https://127.0.0.1:2379'),
      flag('etcd-cafile', certFile('etcd-ca')),
      flag('etcd-certfile', certFile('apiserver-etcd-client')),
      flag('etcd-keyfile', keyFile('apiserver-etcd-client')),
      flag('secure-port', '6443'),
      flag('advertise-address', lab.node.address),
      flag('tls-cert-file', certFile('apiserver')),
      flag('tls-private-key-file', keyFile('apiserver')),
      flag('tls-min-version', 'VersionTLS13'),
      flag('client-ca-file', certFile('ca')),
      flag('authentication-config', authenticationFile),
      flag('authorization-mode', 'Node,RBAC'),
      flag('enable-admission-plugins', 'NodeRestriction,EventRateLimit,DenyServiceExternalIPs'),
      flag('admission-control-config-file', admissionFile),
      flag('allow-privileged', 'true'),
      flag('service-cluster-ip-range', lab.serviceCIDR),
      flag('service-account-issuer', `https://kubernetes.default.svc.${lab.domain}`),
      flag('service-account-key-file', certFile('service-account')),
      flag('service-account-signing-key-file', keyFile('service-account')),
      flag('service-account-extend-token-expiration', 'false'),
      flag('kubelet-certificate-authority', certFile('ca')),
      flag('kubelet-client-certificate', certFile('apiserver-kubelet-client')),
      flag('kubelet-client-key', keyFile('apiserver-kubelet-client')),
      flag('kubelet-preferred-address-types', 'InternalIP,Hostname'),
      flag('requestheader-client-ca-file', certFile('front-proxy-ca')),
      flag('requestheader-allowed-names', proxies[lab.pki]),
      flag('requestheader-username-headers', 'X-Remote-User'),
      flag('requestheader-group-headers', 'X-Remote-Group'),
      flag('requestheader-extra-headers-prefix', 'X-Remote-Extra-'),
      flag('proxy-client-cert-file', certFile('front-proxy-client')),
      flag('proxy-client-key-file', keyFile('front-proxy-client')),
      flag('encryption-provider-config', encryption),
      flag('event-ttl', '168h'),
      flag('audit-policy-file', auditFile),
      flag('audit-log-path', `${paths.audit}/audit.log`),
      flag('audit-log-maxage', '30'),
      flag('audit-log-maxbackup', '10'),
      flag('audit-log-maxsize', '100'),
      flag('audit-log-compress', 'true'),
      flag('request-timeout', '60s'),
      flag('shutdown-watch-termination-grace-period', '1s'),
      flag('profiling', 'false'),
    ],
    writes: paths.audit,
  });

/** Kubeconfig of the user whom no role can hold back. */
const superAdmin = kubeconfigFile('super-admin');

/** Gives the admin its rights as soon as the API server takes requests; the checks of the step say why it does not. */
const bindAdmins = async (context: Context): Promise<void> => {
  if (context.host.dryRun) return;
  const bind = async (): Promise<void> => {
    await (await superAdminApiOf(context)).apply(clusterAdmins);
  };
  await until('the admin has its rights', bind, { signal: context.signal, deadline: 3_600_000 });
};

/** Throws unless the binding gives its rights to the group of the admin, and to nobody else. */
const requireBinding = async (context: Context): Promise<void> => {
  const { name } = clusterAdmins.metadata;
  const path = `/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/${name}`;
  const there = await (await apiOf(context)).get<typeof clusterAdmins>(path);
  for (const field of ['roleRef', 'subjects'] as const)
    if (!isDeepStrictEqual(there[field], clusterAdmins[field])) throw new Error(`${field} of ${name} was changed`);
};

export const kubeApiserver: Step = {
  id: 'kube-apiserver',
  servesObjects: true,
  loses: { what: "etcd's data: every object of the cluster" },
  title: 'kube-apiserver',
  needs: { programs: ['kube-apiserver'] },
  ports: [{ number: 6443, at: 'everywhere' }],
  account: user,
  daemon,
  inputs: (lab) => [authentication, admission(lab), auditPolicy, clusterAdmins],

  async apply(context) {
    const { lab, host } = context;
    for (const [file, content] of filesOf(lab)) await host.writeFile(file, stringify(content), 0o600);
    await host.writeFile(encryption, await encryptionConfig(context), 0o600);
    await ensureRunning({ lab, host }, daemon(lab));
  },

  finish: bindAdmins,

  byHand: {
    async file(path) {
      if (path !== encryption) return undefined;
      const text = ((await readIfThere(path)) ?? '').replaceAll(/secret: .*/g, 'secret: SECRET');
      return [
        ...heredoc(path, text),
        `chmod 600 ${path}`,
        `sed -i "s|SECRET|$(head -c 32 /dev/urandom | base64)|" ${path}`,
      ];
    },
    before: async () => {
      const file = `${paths.config}/cluster-admins.yaml`;
      return [
        ...heredoc(file, stringify(clusterAdmins)),
        `waits kubectl --kubeconfig ${superAdmin} apply --server-side --field-manager=hardway -f ${file}`,
      ];
    },
    proofs: () => [`${kubectl} get --raw /readyz`, `${kubectl} get service kubernetes`],
  },

  checks: [
    check('only its user can read what it wrote down of requests', () => requireFolderOf(paths.audit, user)),
    check('only root can read its configuration and the key of Secrets', async ({ lab }) => {
      for (const [file] of filesOf(lab)) await requireAccess(file, 0o600);
      await requireAccess(encryption, 0o600);
    }),
    check('says that it is ready (/readyz?verbose)', async (context) => {
      const answer = await (await apiOf(context)).text('/readyz?verbose');
      if (!answer.includes('readyz check passed')) throw new Error(answer.trim().split('\n').at(-1));
    }),
    check('its encryption key is that of the Secrets in etcd', requireEncryptionKey),
    check('the admin has its rights by a ClusterRoleBinding', requireBinding),
    check('has published itself as the Service `kubernetes`', async (context) => {
      const service = await (await apiOf(context)).get<{ spec: { clusterIP: string } }>(
        '/api/v1/namespaces/default/services/kubernetes',
      );
      const expected = context.lab.apiServiceAddress;
      if (service.spec.clusterIP !== expected) throw new Error(`it is at ${service.spec.clusterIP}, not ${expected}`);
    }),
  ],

  demo: web,
  teaching: () => ({
    before: [fails('kubectl get namespaces', says('refused'))],
    guideFlags: [
      'allow-privileged',
      'authorization-mode',
      'client-ca-file',
      'etcd-cafile',
      'etcd-certfile',
      'etcd-keyfile',
      'etcd-servers',
      'service-account-key-file',
      'service-account-signing-key-file',
      'service-account-issuer',
      'tls-cert-file',
      'tls-private-key-file',
    ],
    started: /Serving securely on/,
    tasks: [
      doIt(
        'namespace-shop',
        { en: 'Make a namespace called shop.', fr: 'Créez un namespace nommé shop.' },
        {
          hint: 'kubectl create namespace shop',
          command: 'kubectl get namespace shop -o name',
          shows: /^namespace\/shop$/m,
        },
      ),
    ],
  }),

  observations: () => [
    observe(
      { en: 'the API server answers kubectl', fr: 'le serveur d’API répond à kubectl' },
      'kubectl version',
      says('Server Version: v'),
    ),
    observe(
      { en: 'it knows every kind of object', fr: 'il connaît toutes les sortes d’objets' },
      "kubectl api-resources | grep -wE '^(nodes|pods|services|deployments|replicasets)'",
      all(...['nodes', 'pods', 'services', 'deployments', 'replicasets'].map((kind) => says(kind))),
    ),
    observe(
      {
        en: 'etcd is no longer empty: the API server writes below /registry',
        fr: 'etcd n’est plus vide : le serveur d’API écrit sous /registry',
      },
      'etcdctl get /registry/namespaces --prefix --keys-only | grep .',
      says('/registry/namespaces/default', '/registry/namespaces/kube-system'),
    ),
    act(
      { en: 'it accepts a Deployment of two Pods', fr: 'il accepte un Deployment de deux Pods' },
      `kubectl apply -f ${demoFile(web)}`,
      says('deployment.apps/web created'),
      beginDemo,
    ),
    notYet(
      observe(
        {
          en: 'and nothing happens: no ReplicaSet, no Pod, as nobody runs the controllers',
          fr: 'et rien ne se passe : ni ReplicaSet ni Pod, car personne n’exécute les contrôleurs',
        },
        'kubectl get deployments,replicasets,pods',
        all(says('deployment.apps/web', '0/2'), saysNot('replicaset.apps/'), saysNot('pod/')),
        { stays: true },
      ),
    ),
  ],
};
