import type { Language, Text } from '../../../lib/engine/text.ts';
import { kubeconfigFile } from '../../../lib/host/paths.ts';
import { etcd } from '../../../steps/etcd.ts';
import { kubelet } from '../../../steps/kubelet.ts';
import { runInLabShell } from '../../../steps/observe.ts';

interface Stage {
  readonly title: string;
  readonly text: Text;
  /** Commands that show the stage on this cluster. */
  readonly commands: readonly string[];
}

const asKubelet = `kubectl --kubeconfig ${kubeconfigFile(kubelet.id)}`;

/** Stages of the request `kubectl get configmaps`. */
const stages: readonly Stage[] = [
  {
    title: 'TLS',
    text: {
      en: 'kubectl calls https://127.0.0.1:6443. The API server shows its certificate, which must name\nthat address and be signed by the CA in the kubeconfig; then kubectl shows its own.',
      fr: 'kubectl appelle https://127.0.0.1:6443. Le serveur d’API montre son certificat, qui doit nommer\ncette adresse et être signé par la CA du kubeconfig ; puis kubectl montre le sien.',
    },
    commands: ['kubectl config view --minify -o jsonpath=\'{.clusters[0].cluster.server}{"\\n"}{.users[0].name}\''],
  },
  {
    title: 'authentication',
    text: {
      en: 'Who are you? The CN of the certificate is the user, each O a group. Nobody keeps a list of\nusers: the signature of the CA is the proof.',
      fr: 'Qui êtes-vous ? Le CN du certificat est l’utilisateur, chaque O un groupe. Personne ne tient de\nliste des utilisateurs : la signature de la CA est la preuve.',
    },
    commands: ['kubectl auth whoami', `${asKubelet} auth whoami`],
  },
  {
    title: 'authorization',
    text: {
      en: 'May you do this? Node and RBAC are asked in turn; one yes is enough. Your group has its\nright from a ClusterRoleBinding; only system:masters passes without one. The kubelet may not read what none of its Pods uses.',
      fr: 'En avez-vous le droit ? Node puis RBAC sont consultés ; un seul oui suffit. Votre groupe tient\nson droit d’un ClusterRoleBinding ; seul system:masters passe sans règle. Le kubelet n’a pas le droit de lire ce qu’aucun de ses Pods n’utilise.',
    },
    commands: ['kubectl auth can-i get configmaps', `${asKubelet} auth can-i list secrets`],
  },
  {
    title: 'admission',
    text: {
      en: 'Is what you send all right? Only for requests that change something: a get passes by. Plugins\nfill in defaults and refuse; here a dry run shows what they add to a Pod.',
      fr: 'Ce que vous envoyez convient-il ? Seulement pour ce qui modifie : un get passe à côté. Des plugins\ncomplètent et refusent ; ici un essai à blanc montre ce qu’ils ajoutent à un Pod.',
    },
    commands: [
      "kubectl run probe --image=none:1 --dry-run=server -o jsonpath='{.spec.serviceAccountName} {.spec.tolerations[*].key}'",
    ],
  },
  {
    title: etcd.id,
    text: {
      en: 'Only now is the store asked, by the API server alone, with a certificate of another CA. The\nanswer goes back as JSON; kubectl makes a table of it.',
      fr: 'Alors seulement le magasin est interrogé, par le serveur d’API seul, avec un certificat d’une\nautre CA. La réponse revient en JSON ; kubectl en fait un tableau.',
    },
    commands: ['etcdctl get /registry/configmaps/default --prefix --keys-only', 'kubectl get configmaps'],
  },
];

/** Explains one request to the API server stage by stage, each shown on the live cluster. */
export const explainRequest = async (language: Language): Promise<string> => {
  const parts: string[] = ['kubectl get configmaps'];
  for (const [index, { title, text, commands }] of stages.entries()) {
    const shown = [];
    for (const command of commands) {
      const output = (await runInLabShell(command)).trimEnd();
      shown.push(`  $ ${command}\n${output.replaceAll(/^/gm, '    ')}`);
    }
    parts.push([`${index + 1}. ${title}`, text[language].replaceAll(/^/gm, '  '), ...shown].join('\n'));
  }
  return parts.join('\n\n');
};
