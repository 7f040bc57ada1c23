import { randomBytes } from 'node:crypto';
import { stringify } from 'yaml';
import { apiOf } from '../lib/cluster/api.ts';
import { ensureRunning } from '../lib/daemons/supervisor.ts';
import { check } from '../lib/engine/check.ts';
import { flag } from '../lib/engine/daemon.ts';
import type { Lab, PkiProfile } from '../lib/engine/lab.ts';
import type { Step } from '../lib/engine/step.ts';
import { readIfThere } from '../lib/host/files.ts';
import { certFile, keyFile, paths } from '../lib/host/paths.ts';
import { beginDemo, demoFile } from './demo.ts';
import { act, all, observe, says, saysNot } from './observe.ts';

const auditPolicy = `${paths.config}/audit-policy.yaml`;
const encryption = `${paths.config}/encryption.yaml`;

/** The CN of the proxy that may speak for users. */
const proxies: Readonly<Record<PkiProfile, string>> = { components: 'front-proxy-client', guide: 'admin' };

const whys: Readonly<Record<PkiProfile, { readonly etcd: string; readonly proxy: string }>> = {
  components: { etcd: 'what it shows to etcd: the only certificate that opens it', proxy: 'which proxy that may be' },
  guide: {
    etcd: 'what it shows to etcd: the certificate that everybody has, so everybody can open etcd',
    proxy: 'which proxy that may be: whoever has the one certificate there is may speak for anybody',
  },
};

const daemon = (lab: Lab) => ({
  name: 'kube-apiserver',
  description: 'kube-apiserver: the one door to the cluster',
  binary: `${paths.bin}/kube-apiserver`,
  // Without etcd it never ends by itself; it has no state of its own to lose.
  service: ['TimeoutStopSec=5'],
  killAtOnce: true as const,
  after: ['network.target', 'etcd'],
  restartOn: [
    certFile('ca'),
    certFile('apiserver'),
    certFile('apiserver-etcd-client'),
    certFile('front-proxy-ca'),
    keyFile('service-account'),
    auditPolicy,
    encryption,
  ],
  flags: [
    flag('etcd-servers', 'https://127.0.0.1:2379', 'the only store it has; it keeps nothing itself'),
    flag('etcd-cafile', certFile('etcd-ca'), 'who must have signed the certificate that etcd shows'),
    flag('etcd-certfile', certFile('apiserver-etcd-client'), whys[lab.pki].etcd),
    flag('etcd-keyfile', keyFile('apiserver-etcd-client'), 'the private key of that certificate'),
    flag('secure-port', '6443', 'the port that clients know'),
    flag('advertise-address', lab.node.address, 'the address behind the Service `kubernetes`, by which Pods reach it'),
    flag(
      'tls-cert-file',
      certFile('apiserver'),
      'what it shows to clients; its SANs are the names they may call it by',
    ),
    flag('tls-private-key-file', keyFile('apiserver'), 'the private key of that certificate'),
    flag('tls-min-version', 'VersionTLS13', 'nothing older than TLS 1.3 is spoken'),
    flag('client-ca-file', certFile('ca'), 'whose certificates name a user (CN) and its groups (O)'),
    flag('anonymous-auth', 'false', 'who shows nothing is nobody and is turned away'),
    flag('authorization-mode', 'Node,RBAC', 'a kubelet sees what its Pods need; everybody else what roles allow'),
    flag('enable-admission-plugins', 'NodeRestriction', 'a kubelet may change its own Node and Pods only'),
    flag('allow-privileged', 'true', 'a CNI agent in a Pod must be able to change the host'),
    flag(
      'service-cluster-ip-range',
      lab.serviceCIDR,
      'where Services get their addresses; no wire carries this network',
    ),
    flag(
      'service-account-issuer',
      `https://kubernetes.default.svc.${lab.domain}`,
      'who the tokens of Pods say that they are from',
    ),
    flag(
      'service-account-key-file',
      certFile('service-account'),
      'the public key that tells true tokens from false ones',
    ),
    flag('service-account-signing-key-file', keyFile('service-account'), 'the private key that tokens are signed with'),
    flag('service-account-extend-token-expiration', 'false', 'a token lives an hour, not a year'),
    flag('kubelet-certificate-authority', certFile('ca'), 'who must have signed the certificate that a kubelet shows'),
    flag(
      'kubelet-client-certificate',
      certFile('apiserver-kubelet-client'),
      'what it shows to a kubelet for logs and exec',
    ),
    flag('kubelet-client-key', keyFile('apiserver-kubelet-client'), 'the private key of that certificate'),
    flag(
      'kubelet-preferred-address-types',
      'InternalIP,Hostname',
      'the node is reached by address, so that no name server is needed',
    ),
    flag('requestheader-client-ca-file', certFile('front-proxy-ca'), 'who vouches for a proxy that speaks for users'),
    flag('requestheader-allowed-names', proxies[lab.pki], whys[lab.pki].proxy),
    flag('requestheader-username-headers', 'X-Remote-User', 'the header in which it names the user'),
    flag('requestheader-group-headers', 'X-Remote-Group', 'the header in which it names the groups'),
    flag('requestheader-extra-headers-prefix', 'X-Remote-Extra-', 'the headers with the rest'),
    flag('proxy-client-cert-file', certFile('front-proxy-client'), 'what it shows itself to an extension API server'),
    flag('proxy-client-key-file', keyFile('front-proxy-client'), 'the private key of that certificate'),
    flag('encryption-provider-config', encryption, 'Secrets are encrypted before they reach etcd'),
    flag('event-ttl', '168h', 'what happened is remembered for a week: who learns takes pauses'),
    flag('audit-policy-file', auditPolicy, 'what is written down of each request'),
    flag('audit-log-path', `${paths.logs}/audit.log`, 'where it is written'),
    flag('audit-log-maxage', '30', 'days that it is kept'),
    flag('audit-log-maxbackup', '3', 'old files that are kept'),
    flag('audit-log-maxsize', '20', 'megabytes of a file'),
    flag(
      'shutdown-watch-termination-grace-period',
      '1s',
      'when it stops, watches are ended at once; without it they hold it for a minute',
    ),
    flag('profiling', 'false', "its inner workings are nobody's business"),
  ],
});

/** Who did what and when, without bodies: a Secret must not end up in a log. Reads and leases are left out: they are most of the noise. */
const policy = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [
    { level: 'None', resources: [{ group: 'coordination.k8s.io', resources: ['leases'] }] },
    { level: 'None', verbs: ['get', 'list', 'watch'] },
    { level: 'Metadata' },
  ],
};

/** The key that Secrets are encrypted with. Made once: another key could not read what is in etcd. */
const encryptionConfig = async (): Promise<string> =>
  (await readIfThere(encryption)) ??
  stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [
      {
        resources: ['secrets'],
        providers: [
          { secretbox: { keys: [{ name: 'key1', secret: randomBytes(32).toString('base64') }] } },
          { identity: {} },
        ],
      },
    ],
  });

export const kubeApiserver: Step = {
  id: 'kube-apiserver',
  servesObjects: true,
  loses: { what: "etcd's data: every object of the cluster" },
  title: 'kube-apiserver',
  daemon,

  async apply({ lab, host }) {
    await host.makeDir(paths.logs, 0o700);
    await host.writeFile(auditPolicy, stringify(policy), 0o600);
    await host.writeFile(encryption, await encryptionConfig(), 0o600);
    await ensureRunning({ lab, host }, daemon(lab));
  },

  checks: [
    check('says that it is ready (/readyz?verbose)', async (context) => {
      const answer = await (await apiOf(context)).text('/readyz?verbose');
      if (!answer.includes('readyz check passed')) throw new Error(answer.trim().split('\n').at(-1));
    }),
    check('has published itself as the Service `kubernetes`', async (context) => {
      const service = await (await apiOf(context)).get<{ spec: { clusterIP: string } }>(
        '/api/v1/namespaces/default/services/kubernetes',
      );
      const expected = context.lab.apiServiceAddress;
      if (service.spec.clusterIP !== expected) throw new Error(`it is at ${service.spec.clusterIP}, not ${expected}`);
    }),
  ],

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
      `kubectl apply -f ${demoFile('web')}`,
      says('deployment.apps/web created'),
      beginDemo,
    ),
    observe(
      {
        en: 'and nothing happens: no ReplicaSet, no Pod, as nobody runs the controllers',
        fr: 'et rien ne se passe : ni ReplicaSet ni Pod, car personne n’exécute les contrôleurs',
      },
      'kubectl get deployments,replicasets,pods',
      all(says('deployment.apps/web', '0/2'), saysNot('replicaset.apps/'), saysNot('pod/')),
      { stays: true },
    ),
  ],
};
