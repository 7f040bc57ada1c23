import { apiOf } from '../../../lib/cluster/api.ts';
import { named } from '../../../lib/cluster/objects.ts';
import { UserError } from '../../../lib/engine/errors.ts';
import type { Context } from '../../../lib/engine/step.ts';
import type { Language } from '../../../lib/engine/text.ts';
import { run } from '../../../lib/host/run.ts';

/** One rule of the output of iptables-save. */
interface Rule {
  readonly chain: string;
  readonly target: string;
  readonly comment: string;
  readonly destination?: string;
  readonly port?: string;
  /** Share of the packets that reach this rule; 1 for a rule without a probability. */
  readonly probability: number;
  readonly to?: string;
}

const option = (line: string, name: string): string | undefined =>
  new RegExp(` ${name} ("[^"]*"|\\S+)`).exec(line)?.[1]?.replaceAll('"', '');

const rulesIn = (saved: string): readonly Rule[] =>
  saved
    .split('\n')
    .filter((line) => line.startsWith('-A KUBE-'))
    .map((line) => {
      const [destination, port, to] = [option(line, '-d'), option(line, '--dport'), option(line, '--to-destination')];
      return {
        chain: line.split(' ')[1] ?? '',
        target: option(line, '-j') ?? '',
        comment: option(line, '--comment') ?? '',
        probability: Number(option(line, '--probability') ?? 1),
        ...(destination && { destination }),
        ...(port && { port }),
        ...(to && { to }),
      };
    });

/** The way of one port of a Service through the chains. */
export interface ServicePath {
  /** Name of the port in the rule: namespace/name, with the port's name where it has one. */
  readonly port: string;
  readonly address: string;
  /** KUBE-SVC-..., or REJECT where the Service has no endpoint. */
  readonly chain: string;
  readonly ends: readonly {
    readonly chain: string;
    /** Probability in the rule: the share of what the rules before it leave. */
    readonly probability: number;
    /** Share of all connections. */
    readonly share: number;
    readonly to: string;
  }[];
}

const endsOf = (rules: readonly Rule[], chain: string): ServicePath['ends'] => {
  let left = 1;
  return rules
    .filter((rule) => rule.chain === chain && rule.target.startsWith('KUBE-SEP-'))
    .map(({ target, probability }) => {
      const share = left * probability;
      left -= share;
      const to = rules.find((rule) => rule.chain === target && rule.target === 'DNAT')?.to ?? '?';
      return { chain: target, probability, share, to };
    });
};

/** Finds the ways through the chains of a Service (namespace/name) in the output of iptables-save. */
export const servicePaths = (saved: string, service: string): readonly ServicePath[] => {
  const rules = rulesIn(saved);
  return rules
    .filter(({ chain, comment }) => chain === 'KUBE-SERVICES' && comment.split(/[ :]/)[0] === service)
    .map(({ comment, destination = '', port = '', target }) => ({
      port: comment.split(' ')[0] ?? '',
      address: `${destination.replace('/32', '')}:${port}`,
      chain: target,
      ends: endsOf(rules, target),
    }));
};

const words = {
  en: {
    entry: 'A connection to the address meets KUBE-SERVICES (nat), from OUTPUT or PREROUTING.',
    none: 'nobody is behind it: refused (filter)',
    of: 'of what comes here',
    rest: 'of the rest',
    all: 'all that is left',
    note: 'No process carries the packets: kube-proxy only wrote these rules. A connection is thrown\nonce; conntrack keeps the answer for all its packets.',
    headless: 'has no address of its own (headless): DNS names its Pods, and no chain leads to them',
  },
  fr: {
    entry: 'Une connexion vers l’adresse rencontre KUBE-SERVICES (nat), depuis OUTPUT ou PREROUTING.',
    none: 'personne derrière : refusé (filter)',
    of: 'de ce qui arrive ici',
    rest: 'du reste',
    all: 'tout ce qui reste',
    note: 'Aucun processus ne porte les paquets : kube-proxy n’a fait qu’écrire ces règles. Le sort\nest tiré une fois par connexion ; conntrack le garde pour tous ses paquets.',
    headless: 'n’a pas d’adresse à lui (headless) : le DNS nomme ses Pods, aucune chaîne n’y mène',
  },
} as const;

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

/** Draws the path with its probabilities; `pods` names the Pod behind an address. */
export const drawPath = (path: ServicePath, pods: ReadonlyMap<string, string>, language: Language): string => {
  const say = words[language];
  const head = `${path.port}  ${path.address}\n  KUBE-SERVICES`;
  if (path.chain === 'REJECT') return `${head}\n  -> REJECT  ${say.none}`;
  const ends = path.ends.map(({ chain, probability, share, to }, index) => {
    const rule = probability === 1 ? say.all : `${probability.toFixed(2)} ${index === 0 ? say.of : say.rest}`;
    const pod = pods.get(to.split(':')[0] ?? '');
    return `     -> ${chain}  ${rule}\n        = ${percent(share)}  DNAT ${to}${pod ? `  ${pod}` : ''}`;
  });
  return [head, `  -> ${path.chain}`, ...ends].join('\n');
};

/** Draws the chains of a Service on this machine. Throws UserError where there is no such Service. */
export const explainService = async (
  context: Context,
  namespace: string,
  name: string,
  language: Language,
): Promise<string> => {
  const api = await apiOf(context);
  const { items } = await api.get<{ items: { metadata: { name: string }; spec: { clusterIP?: string } }[] }>(
    `/api/v1/namespaces/${namespace}/services`,
  );
  const service = named('Service', items, name, namespace);
  if (service.spec.clusterIP === 'None') return `${namespace}/${name} ${words[language].headless}`;
  const { stdout } = await run('iptables-save');
  const pods = await api.get<{ items: { metadata: { name: string }; status: { podIP?: string } }[] }>('/api/v1/pods');
  const podAt = new Map(
    pods.items.flatMap(({ metadata, status }) => (status.podIP ? [[status.podIP, metadata.name]] : [])),
  );
  const paths = servicePaths(stdout, `${namespace}/${name}`);
  if (paths.length === 0)
    throw new UserError(
      `kube-proxy has written no rule for ${namespace}/${name} yet`,
      'hardway check kube-proxy; the Service itself is there',
    );
  const { entry, note } = words[language];
  return [entry, ...paths.map((path) => drawPath(path, podAt, language)), note].join('\n\n');
};
