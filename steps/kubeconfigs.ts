import { readFile } from 'node:fs/promises';
import { check } from '../lib/engine/check.ts';
import type { Step } from '../lib/engine/step.ts';
import { readIfThere } from '../lib/host/files.ts';
import type { Host } from '../lib/host/host.ts';
import { certFile, keyFile, kubeconfigFile, paths } from '../lib/host/paths.ts';
import { person } from '../lib/host/person.ts';
import { kubeconfig } from '../lib/pki/kubeconfig.ts';

/** Who gets a kubeconfig; each is also the name of a certificate, whose subject is who they are to the API server. */
export const identities = ['admin', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy'];

const contentFor = async (identity: string): Promise<string> => {
  const [ca, certificate, key] = await Promise.all(
    [certFile('ca'), certFile(identity), keyFile(identity)].map((file) => readFile(file, 'utf8')),
  );
  return kubeconfig({
    server: 'https://127.0.0.1:6443',
    ca: ca ?? '',
    user: identity,
    certificate: certificate ?? '',
    key: key ?? '',
  });
};

/** A copy for the person at the keyboard, where kubectl looks by itself; one that is already there is not touched. */
const givePerson = async (host: Host, content: string): Promise<void> => {
  const { home, owner } = await person();
  const file = `${home}/.kube/config`;
  const there = await readIfThere(file);
  if (there !== undefined && !there.includes('name: hardway')) return;
  await host.makeDir(`${home}/.kube`, 0o750, owner);
  await host.writeFile(file, content, 0o600, owner);
};

export const kubeconfigs: Step = {
  id: 'kubeconfigs',
  leaves: { homes: ['.kube/cache'] }, // kubectl remembers API servers in the home of whoever called it
  title: 'kubeconfigs',

  async apply({ host }) {
    await host.makeDir(paths.kubeconfigs, 0o700);
    for (const identity of identities) {
      const content = host.dryRun ? '' : await contentFor(identity);
      await host.writeFile(kubeconfigFile(identity), content, 0o600);
    }
    await givePerson(host, host.dryRun ? '' : await contentFor('admin'));
  },

  checks: [
    check('each kubeconfig holds the certificate in use', async () => {
      for (const identity of identities) {
        if ((await readIfThere(kubeconfigFile(identity))) !== (await contentFor(identity))) {
          throw new Error(`${kubeconfigFile(identity)} is missing or holds another certificate`);
        }
      }
    }),
  ],
};
