import { check } from '../lib/engine/check.ts';
import { isBug, sentenceOf } from '../lib/engine/errors.ts';
import { isWrittenBy, type LedgerEntry, readLedger } from '../lib/engine/ledger.ts';
import type { Step } from '../lib/engine/step.ts';
import { readIfThere, readSmallIfThere, readText, requireAccess, statIfThere } from '../lib/host/files.ts';
import type { Host } from '../lib/host/host.ts';
import { certFile, keyFile, kubeconfigFile, paths } from '../lib/host/paths.ts';
import { type Person, person } from '../lib/host/person.ts';
import { kubeconfig } from '../lib/pki/kubeconfig.ts';
import { fails, says } from './observe.ts';
import { tell } from './tasks.ts';

/** Address of the API server on this machine. */
const server = 'https://127.0.0.1:6443';

const contentFor = async (identity: string): Promise<string> => {
  const [ca, certificate, key] = await Promise.all(
    [certFile('ca'), certFile(identity), keyFile(identity)].map((file) => readText(file)),
  );
  return kubeconfig({
    server,
    ca: ca ?? '',
    user: identity,
    certificate: certificate ?? '',
    key: key ?? '',
  });
};

/** Returns the commands that make the kubeconfig of an identity with kubectl. */
const commandsFor = (identity: string): readonly string[] => {
  const file = kubeconfigFile(identity);
  const config = `kubectl --kubeconfig ${file} config`;
  return [
    `${config} set-cluster hardway --server=${server} --certificate-authority=${certFile('ca')} --embed-certs`,
    `${config} set-credentials ${identity} --client-certificate=${certFile(identity)} --client-key=${keyFile(identity)} --embed-certs`,
    `${config} set-context ${identity}@hardway --cluster=hardway --user=${identity}`,
    `${config} use-context ${identity}@hardway`,
    `chmod 600 ${file}`,
  ];
};

/**
 * Copies the admin kubeconfig to a person's ~/.kube/config. A file there is overwritten only where it is, byte for byte,
 * one that we wrote: one into which other clusters were merged is the person's, and so is a link, whatever it leads to.
 */
export const givePerson = async (
  host: Pick<Host, 'makeDir' | 'writeFile'>,
  content: string,
  { home, owner }: Pick<Person, 'home' | 'owner'>,
  entries: readonly LedgerEntry[],
): Promise<void> => {
  const folder = `${home}/.kube`;
  const file = `${folder}/config`;
  const stats = await Promise.all([folder, file].map(statIfThere));
  if (stats.some((stat) => stat?.isSymbolicLink())) return;
  const there = await readSmallIfThere(file);
  if (there !== undefined && !isWrittenBy(entries, file, there)) return;
  await host.makeDir(folder, 0o750, owner);
  await host.writeFile(file, content, 0o600, owner);
};

/** Tells whether a file in a home is the copy that we gave: what we write for its certificate and key, byte for byte. */
const isGiven = (content: string): boolean => {
  const text = (field: string): string =>
    Buffer.from(new RegExp(`^ *${field}: (\\S+)$`, 'm').exec(content)?.[1] ?? '', 'base64').toString();
  const [ca, certificate, key] = ['certificate-authority-data', 'client-certificate-data', 'client-key-data'].map(text);
  return (
    content === kubeconfig({ server, ca: ca ?? '', user: 'admin', certificate: certificate ?? '', key: key ?? '' })
  );
};

export const kubeconfigs: Step = {
  id: 'kubeconfigs',
  traces: [{ path: '~/.kube/config', isOurs: isGiven }],
  leaves: { homes: ['.kube/cache'] }, // kubectl remembers API servers in the home of whoever called it
  title: 'kubeconfigs',
  needs: { identities: ['admin', 'super-admin'] },

  async apply({ host, needs, signal, progress }) {
    await host.makeDir(paths.kubeconfigs, 0o700);
    for (const identity of needs.identities) {
      const content = host.dryRun ? '' : await contentFor(identity);
      await host.writeFile(kubeconfigFile(identity), content, 0o600);
    }
    try {
      const content = host.dryRun ? '' : await contentFor('admin');
      await givePerson(host, content, await person(), await readLedger(paths.ledger));
    } catch (error) {
      // The lab is whole without it: a home may be on a file system that root may not write to.
      if (signal.aborted || isBug(error)) throw error;
      progress(`no kubeconfig for the person: ${sentenceOf(error)}`);
    }
  },

  byHand: {
    async file(path, { needs }) {
      if (path.endsWith('/.kube/config')) return [`install -m 600 ${kubeconfigFile('admin')} ${path}`];
      const identity = needs.identities.find((one) => kubeconfigFile(one) === path);
      return identity === undefined ? undefined : commandsFor(identity);
    },
  },

  teaching: () => ({
    before: [fails('kubectl get nodes', says('localhost:8080'))],
    tasks: [
      tell(
        'kubeconfig-user',
        {
          en: 'As which user does kubectl call? Type its name.',
          fr: 'Sous quel nom d’utilisateur kubectl appelle-t-il ?',
        },
        "kubectl config view --minify -o jsonpath='{.contexts[0].context.user}'",
      ),
    ],
  }),

  checks: [
    check('each kubeconfig holds the certificate in use', async ({ needs }) => {
      for (const identity of needs.identities) {
        if ((await readIfThere(kubeconfigFile(identity))) !== (await contentFor(identity))) {
          throw new Error(`${kubeconfigFile(identity)} is missing or holds another certificate`);
        }
      }
    }),
    check('only root can read the kubeconfigs', async ({ needs }) => {
      await requireAccess(paths.kubeconfigs, 0o700);
      for (const identity of needs.identities) await requireAccess(kubeconfigFile(identity), 0o600);
    }),
  ],
};
