import { ensureImages } from '../lib/cluster/images.ts';
import { supervisorOf } from '../lib/daemons/supervisor.ts';
import type { Cni, Lab, PkiProfile } from '../lib/engine/lab.ts';
import type { Observation } from '../lib/engine/step.ts';
import { kubeconfigFile } from '../lib/host/paths.ts';
import { beginDemo, demoFile, writeDemo } from './demo.ts';
import { ingressPort } from './ingress.ts';
import { act, all, atLeast, lines, observe, says } from './observe.ts';

/** Throws unless nothing at all was printed. */
const printsNothing = (output: string): void => {
  if (output.trim() !== '') throw new Error('it prints something');
};

const not =
  (word: string) =>
  (output: string): void => {
    if (output.includes(word)) throw new Error(`it says "${word}"`);
  };

/** Throws unless a unit was stopped: kube-scheduler ends with 1 when it is told to, which systemd calls failed. */
const stopped = (output: string): void => {
  if (!/^(inactive|failed)$/m.test(output)) throw new Error('it still runs');
};

const webPods = 'kubectl get pods -l app=web';
const fromPod = (target: string): string =>
  `kubectl exec deploy/web -- /agnhost connect ${target} --timeout=3s && echo connected`;
const chainOfWeb = "iptables-save -t nat | grep -- '-A KUBE-SVC-.*default/web '";

/** A request for /hostname, which a Pod of web answers with its name, at Traefik's port of the Node. */
const throughTraefik = (name: string): string =>
  `curl -s -m 3 -H 'Host: ${name}' "http://$(kubectl get nodes -o jsonpath='{.items[0].status.addresses[0].address}'):${ingressPort}/hostname"`;

/** How the machine's own routes lead to Pods. */
const routesToPods: Readonly<Record<Cni, Observation>> = {
  bridge: observe(
    {
      en: 'one route leads to all of them: they hang on a bridge of this machine',
      fr: 'une seule route mène à eux tous : ils sont accrochés à un pont de cette machine',
    },
    'ip route | grep cni0',
    lines(1, / dev cni0 /),
  ),
  calico: observe(
    {
      en: 'each has a route of its own, to its own interface on this machine: there is no bridge',
      fr: 'chacun a sa propre route, vers sa propre interface sur cette machine : il n’y a pas de pont',
    },
    'ip route | grep cali',
    atLeast(2, / dev cali\w+ scope link/),
  ),
};

const everySecret = `kubectl --kubeconfig ${kubeconfigFile('kubelet')} auth can-i get secrets --all-namespaces`;

/** What somebody gets who has stolen the kubelet's credential. */
const reachOfKubelet: Readonly<Record<PkiProfile, Observation>> = {
  components: observe(
    {
      en: 'the kubelet may not read every Secret: its certificate opens what its own Pods use',
      fr: 'le kubelet ne peut pas lire tous les Secrets : son certificat ouvre ce que ses propres Pods utilisent',
    },
    everySecret,
    says('no'),
  ),
  guide: observe(
    {
      en: 'the kubelet may read every Secret: that is why one certificate for all is bad',
      fr: 'le kubelet peut lire tous les Secrets : voilà pourquoi un seul certificat pour tous est une mauvaise idée',
    },
    everySecret,
    says('yes'),
  ),
};

/**
 * What each step changes, and what still does not work after it: the guide as a story, told on the live cluster. The
 * objects `web` in it are removed when the last step has been told.
 */
export const storyOf = ({
  cni,
  pki = 'components',
  supervisor = 'systemd',
}: Pick<Lab, 'cni'> & Partial<Pick<Lab, 'pki' | 'supervisor'>>): Readonly<Record<string, readonly Observation[]>> => ({
  etcd: [
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

  'kube-apiserver': [
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
      all(says('deployment.apps/web', '0/2'), not('replicaset.apps/'), not('pod/')),
      { stays: true },
    ),
  ],

  'kube-controller-manager': [
    observe(
      {
        en: 'the Deployment has its ReplicaSet, and that its two Pods',
        fr: 'le Deployment a son ReplicaSet, et celui-ci ses deux Pods',
      },
      'kubectl get replicasets,pods',
      all(lines(1, /^replicaset\.apps\/web-/), lines(2, /^pod\/web-/)),
    ),
    observe(
      {
        en: 'they stay Pending, without an event: nobody chooses a Node for them',
        fr: 'ils restent Pending, sans événement : personne ne leur choisit un Node',
      },
      `${webPods}; kubectl get events --field-selector involvedObject.kind=Pod`,
      all(lines(2, /^web-.* Pending /), says('No resources found')),
      { stays: true },
    ),
  ],

  'kube-scheduler': [
    observe(
      {
        en: 'now somebody has looked for a Node, and found none',
        fr: 'maintenant quelqu’un a cherché un Node, et n’en a trouvé aucun',
      },
      'kubectl get events --field-selector reason=FailedScheduling',
      says('no nodes available to schedule pods'),
    ),
    observe({ en: 'the Pods are still Pending', fr: 'les Pods sont toujours Pending' }, webPods, lines(2, / Pending /)),
  ],

  containerd: [
    observe(
      { en: 'containerd answers', fr: 'containerd répond' },
      'crictl version',
      says('RuntimeName:  containerd', 'RuntimeApiVersion:  v1'),
    ),
    observe(
      {
        en: 'it runs nothing: it does what a kubelet asks for, and there is none',
        fr: 'il n’exécute rien : il fait ce qu’un kubelet demande, et il n’y en a pas',
      },
      'crictl pods --quiet',
      printsNothing,
      { stays: true },
    ),
    observe(
      { en: 'the cluster has no Node yet', fr: 'le cluster n’a pas encore de Node' },
      'kubectl get nodes',
      says('No resources found'),
    ),
  ],

  kubelet: [
    observe(
      {
        en: 'this machine is a Node, and it is NotReady',
        fr: 'cette machine est un Node, et il est NotReady',
      },
      'kubectl get nodes',
      lines(1, / NotReady /),
    ),
    observe(
      { en: 'because there is no network for Pods', fr: 'parce qu’il n’y a pas de réseau pour les Pods' },
      'kubectl get nodes -o jsonpath=\'{.items[0].status.conditions[?(@.type=="Ready")].message}\'',
      says('cni plugin not initialized'),
    ),
    observe(
      {
        en: 'so it carries a taint that keeps Pods away',
        fr: 'il porte donc un taint qui tient les Pods à distance',
      },
      "kubectl get nodes -o jsonpath='{.items[0].spec.taints}'",
      says('node.kubernetes.io/not-ready', 'NoSchedule'),
    ),
    observe(
      {
        en: 'and the scheduler now gives that as its reason',
        fr: 'et c’est maintenant la raison que donne le scheduler',
      },
      "kubectl get pods -l app=web -o jsonpath='{.items[0].status.conditions[0].message}'",
      says('0/1 nodes are available', 'untolerated taint'),
    ),
    reachOfKubelet[pki],
  ],

  'kube-proxy': [
    act(
      { en: 'a Service gets an address at once', fr: 'un Service reçoit aussitôt une adresse' },
      `kubectl apply -f ${demoFile('web-service')} && kubectl get service web`,
      says('ClusterIP'),
      writeDemo,
    ),
    observe(
      {
        en: 'there is nobody behind it: its EndpointSlice is empty',
        fr: 'il n’y a personne derrière : son EndpointSlice est vide',
      },
      'kubectl get endpointslices -l kubernetes.io/service-name=web',
      says('<unset>'),
    ),
    observe(
      {
        en: 'so kube-proxy has one rule for it, which refuses',
        fr: 'kube-proxy n’a donc qu’une règle pour lui, qui refuse',
      },
      "iptables-save | grep 'default/web '",
      all(lines(1, /default\/web has no endpoints.* -j REJECT/), not('KUBE-SVC-')),
      { stays: true },
    ),
  ],

  network: [
    observe({ en: 'the Node is Ready', fr: 'le Node est Ready' }, 'kubectl get nodes', lines(1, / Ready /)),
    observe(
      { en: 'its taint is gone', fr: 'son taint a disparu' },
      "kubectl get nodes -o jsonpath='{.items[0].spec.taints}'",
      printsNothing,
    ),
    observe(
      {
        en: 'the scheduler has placed the Pods, and they run, each with an address',
        fr: 'le scheduler a placé les Pods, et ils tournent, chacun avec une adresse',
      },
      `${webPods} -o wide`,
      (output, { lab }) => {
        const [first, second] = lab.podCIDR.split('.');
        lines(2, new RegExp(`1/1 +Running .* ${first}\\.${second}\\.`))(output);
      },
      { before: ensureImages },
    ),
    routesToPods[cni],
    observe(
      {
        en: 'the Service leads to each of them half of the time',
        fr: 'le Service mène à chacun d’eux une fois sur deux',
      },
      chainOfWeb,
      all(lines(2, / -j KUBE-SEP-/), says('--probability 0.50000000000')),
    ),
    observe(
      { en: 'a Pod reaches it by its address', fr: 'un Pod le joint par son adresse' },
      fromPod("$(kubectl get service web -o jsonpath='{.spec.clusterIP}'):3000"),
      says('connected'),
    ),
    observe(
      {
        en: 'but not by its name: nobody answers questions of DNS yet',
        fr: 'mais pas par son nom : personne ne répond encore aux questions DNS',
      },
      // The whole name with its dot: one question, not one for each domain of the search list.
      fromPod('web.default.svc.cluster.local.:3000'),
      all(says('DNS'), not('connected')),
    ),
  ],

  coredns: [
    observe(
      { en: 'now its name works too', fr: 'maintenant son nom marche aussi' },
      fromPod('web:3000'),
      says('connected'),
    ),
    observe(
      { en: 'CoreDNS itself is a Deployment like any other', fr: 'CoreDNS est lui-même un Deployment comme un autre' },
      'kubectl -n kube-system get deployment coredns',
      says('1/1'),
    ),
  ],

  ingress: [
    observe(
      {
        en: 'Traefik is a Pod like any other, and its Service opens a port on the Node',
        fr: 'Traefik est un Pod comme un autre, et son Service ouvre un port sur le Node',
      },
      'kubectl -n traefik get pods,services',
      all(lines(1, /^pod\/traefik-\S+ +1\/1 +Running/), says(`80:${ingressPort}/TCP`)),
    ),
    act(
      { en: 'an Ingress gives the Service web a host name', fr: 'un Ingress donne un nom d’hôte au Service web' },
      `kubectl apply -f ${demoFile('web-ingress')} && kubectl get ingress web`,
      says('web.test'),
      writeDemo,
    ),
    observe(
      {
        en: 'who asks the Node for that name gets an answer from a Pod of web',
        fr: 'qui demande ce nom au Node reçoit la réponse d’un Pod de web',
      },
      throughTraefik('web.test'),
      lines(1, /^web-/),
    ),
    observe(
      {
        en: 'who asks for a name that no Ingress has gets a 404',
        fr: 'qui demande un nom qu’aucun Ingress n’a reçoit un 404',
      },
      throughTraefik('other.test'),
      says('404 page not found'),
    ),
  ],

  smoke: [
    act(
      { en: 'from two Pods to four, by one number', fr: 'de deux Pods à quatre, par un seul nombre' },
      'kubectl scale deployment web --replicas=4',
      says('deployment.apps/web scaled'),
    ),
    observe({ en: 'four Pods run', fr: 'quatre Pods tournent' }, webPods, lines(4, / 1\/1 +Running /)),
    observe(
      {
        en: 'one in 4, else one in 3, else one in 2, else the last: a quarter each',
        fr: 'un sur 4, sinon un sur 3, sinon un sur 2, sinon le dernier : un quart chacun',
      },
      chainOfWeb,
      all(says('0.25000000000', '0.333333333', '0.50000000000'), lines(4, / -j KUBE-SEP-/)),
    ),
    act(
      { en: 'a Pod is killed', fr: 'un Pod est tué' },
      'kubectl delete "$(kubectl get pods -l app=web -o name | head -n 1)"',
      says('deleted'),
    ),
    observe(
      {
        en: 'its ReplicaSet has made another, the fifth since the beginning',
        fr: 'son ReplicaSet en a fait un autre, le cinquième depuis le début',
      },
      'kubectl get events --field-selector reason=SuccessfulCreate -o custom-columns=WHO:.source.component,WHAT:.message | grep web-',
      atLeast(5, /^replicaset-controller +Created pod: web-/),
    ),
    observe({ en: 'and four run again', fr: 'et quatre tournent à nouveau' }, webPods, lines(4, / 1\/1 +Running /)),
    act(
      { en: 'the scheduler is stopped', fr: 'le scheduler est arrêté' },
      supervisorOf({ supervisor }).typed('kube-scheduler').stop,
      stopped,
    ),
    observe(
      {
        en: 'the Pods live on: it only ever chose their Node',
        fr: 'les Pods vivent toujours : il n’a fait que choisir leur Node',
      },
      webPods,
      lines(4, / 1\/1 +Running /),
      { stays: true },
    ),
    act(
      { en: 'but a fifth', fr: 'mais un cinquième' },
      'kubectl scale deployment web --replicas=5',
      says('deployment.apps/web scaled'),
    ),
    observe(
      { en: 'stays Pending', fr: 'reste Pending' },
      webPods,
      all(lines(4, / 1\/1 +Running /), lines(1, / Pending /)),
      { stays: true },
    ),
    act(
      { en: 'until the scheduler is back', fr: 'jusqu’au retour du scheduler' },
      supervisorOf({ supervisor }).typed('kube-scheduler').start,
      says('active'),
    ),
    observe({ en: 'then it runs', fr: 'alors il tourne' }, webPods, lines(5, / 1\/1 +Running /)),
  ],
});
