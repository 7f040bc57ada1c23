import { randomBytes } from 'node:crypto';
import { Resolver } from 'node:dns/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { imageReference } from '../lib/binaries/versions.ts';
import { apiOf } from '../lib/cluster/api.ts';
import { ensureImages } from '../lib/cluster/images.ts';
import { readManifest } from '../lib/cluster/manifest.ts';
import { applyObjects, deleteObjects, deploymentIsAvailable } from '../lib/cluster/objects.ts';
import { check, deferredCheck } from '../lib/engine/check.ts';
import { reasonOf } from '../lib/engine/errors.ts';
import type { Lab } from '../lib/engine/lab.ts';
import type { Context, Step } from '../lib/engine/step.ts';
import { kubectl } from './by-hand.ts';
import { fromPod } from './demo.ts';
import { byName } from './network.ts';
import { fails, observe, says } from './observe.ts';
import { tell } from './tasks.ts';

const objects = ({ machine, dnsAddress, domain, kubernetes }: Lab) =>
  readManifest('coredns', {
    dnsAddress,
    domain,
    image: imageReference('coredns', kubernetes),
    // CoreDNS does not start with a forward that has no name server.
    forward: machine.resolvConf ? 'forward . /etc/resolv.conf' : '# this machine knows no name server to forward to',
  });

/** Tells whether CoreDNS has ended because a query that it forwarded came back to it (its plugin loop says so). */
export const isLoop = (reason: string): boolean => reason.includes('plugin/loop: Loop');

/** Passes when CoreDNS is available. A query that comes back to it names the file with the name servers. */
export const coreDnsIsAvailable = check('CoreDNS is Available', async (context: Context) => {
  await deploymentIsAvailable(context, 'kube-system', 'coredns').catch((error: unknown) => {
    const reason = reasonOf(error);
    if (!isLoop(reason)) throw error;
    const file = context.lab.machine.resolvConf ?? 'its ConfigMap';
    throw new Error(`${reason}; a name server that it forwards to leads back to it: name another one in ${file}`);
  });
});

/** Returns a client of CoreDNS. A query is sent once, and given up after `timeout` milliseconds. */
const resolverOf = ({ dnsAddress }: Lab, timeout: number): Resolver => {
  const resolver = new Resolver({ timeout, tries: 1 });
  resolver.setServers([dnsAddress]);
  return resolver;
};

/**
 * Passes when CoreDNS answers through the address of its Service. kube-proxy takes its REJECT out of one table before it
 * writes the rules into the other: a query in between is lost, and with it each later one from the same port. Whoever
 * cannot ask again soon, as a Pod whose resolver waits 5 s, has to wait for this first.
 */
export const namesAreAnswered = check(
  'a name is answered through the address of its Service',
  async ({ lab }: Context) => {
    const ask = (timeout: number): Promise<readonly string[]> =>
      resolverOf(lab, timeout).resolve4(`kubernetes.default.svc.${lab.domain}`);
    const [address] = await ask(250).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ETIMEOUT') return ask(1500); // a slow machine needs the time
      throw error;
    });
    if (address !== lab.apiServiceAddress) throw new Error(`kubernetes.default is said to be at ${address}`);
  },
);

/** Makes a Service of a new name, which stands for another name, and tells whether CoreDNS says so after `pauseMs`. */
const findsNewService = async (context: Context, pauseMs: number): Promise<boolean> => {
  const { lab, signal } = context;
  const api = await apiOf(context);
  const name = `hardway-check-${randomBytes(4).toString('hex')}`;
  const externalName = `${name}.invalid`;
  const metadata = { name, namespace: 'kube-system' };
  const service = { apiVersion: 'v1', kind: 'Service', metadata, spec: { type: 'ExternalName', externalName } };
  await api.apply(service); // of this type it has no address, and kube-proxy writes no rule for it
  try {
    await sleep(pauseMs, undefined, { signal });
    const found = await resolverOf(lab, 1500).resolveCname(`${name}.kube-system.svc.${lab.domain}`);
    return found[0] === externalName;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTFOUND') return false;
    throw error;
  } finally {
    await api.remove(service);
  }
};

export const coredns: Step = {
  id: 'coredns',
  title: 'CoreDNS',
  needs: { images: ['coredns'] },
  inputs: async (lab) => [await objects(lab), lab.machine.nameServers], // its Pods read them when they start

  async apply(context) {
    // Images come first: a kubelet that cannot get one retries only seconds later.
    if (!context.host.dryRun) await ensureImages(context, 'coredns');
    await applyObjects(context, await objects(context.lab));
  },

  objects: ({ lab }) => objects(lab),

  async deleteObjects(context) {
    await deleteObjects(context, await objects(context.lab));
  },

  byHand: { proofs: () => [`${kubectl} -n kube-system rollout status deployment coredns --timeout=5s`] },

  checks: [
    coreDnsIsAvailable,
    namesAreAnswered,
    // A CoreDNS that may no longer watch answers old names for ever.
    deferredCheck('the name of a Service made now is answered', async (context) => {
      // CoreDNS remembers for 5 s that there is no such name: a second try needs another one.
      for (const pause of [100, 1500]) if (await findsNewService(context, pause)) return;
      throw new Error(
        'CoreDNS does not know it, so it does not see what changes in the cluster: kubectl -n kube-system logs deployment/coredns says why',
      );
    }),
  ],

  teaching: ({ domain }) => ({
    before: [fails(byName(domain), says('DNS'))],
    tasks: [
      tell(
        'dns-address',
        { en: 'Which address do Pods ask about names?', fr: 'À quelle adresse les Pods demandent-ils les noms ?' },
        "kubectl -n kube-system get service kube-dns -o jsonpath='{.spec.clusterIP}'",
      ),
    ],
  }),

  observations: () => [
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
};
