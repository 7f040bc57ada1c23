import { request } from 'node:http';
import { imageReference } from '../lib/binaries/versions.ts';
import { type Answer, answerTo } from '../lib/cluster/http.ts';
import { ensureImages } from '../lib/cluster/images.ts';
import { readManifest } from '../lib/cluster/manifest.ts';
import { applyObjects, deleteObjects, deploymentIsAvailable } from '../lib/cluster/objects.ts';
import { check } from '../lib/engine/check.ts';
import type { Lab } from '../lib/engine/lab.ts';
import type { Step } from '../lib/engine/step.ts';
import { kubectl } from './by-hand.ts';
import { demoFile, ingresses, writeDemo } from './demo.ts';
import { act, all, fails, lines, observe, says } from './observe.ts';
import { tell } from './tasks.ts';

/** Port of the Node that leads to Traefik's HTTP port; manifests/traefik.yaml sets it. */
export const ingressPort = 30080;

/** Milliseconds without a byte until the ingress controller counts as not answering. */
const timeoutMs = 2_000;

/**
 * Sends a GET of / for a host to the ingress controller and returns its answer, whatever the status: a 404 is an answer
 * too. Throws when nobody answers.
 */
export const throughIngress = ({ node }: Pick<Lab, 'node'>, host: string): Promise<Answer> => {
  const options = { host: node.address, port: ingressPort, headers: { host }, timeout: timeoutMs, agent: false };
  return answerTo(request(options), { whom: `${node.address}:${ingressPort}`, timeoutMs: timeoutMs });
};

/** Returns a curl command for /hostname at Traefik's port of the Node; a Pod of web answers with its name. */
const throughTraefik = (name: string): string =>
  `curl -s -m 3 -H 'Host: ${name}' "http://$(kubectl get nodes -o jsonpath='{.items[0].status.addresses[0].address}'):${ingressPort}/hostname"`;

const objects = () => readManifest('traefik', { image: imageReference('traefik') });

const route = { manifest: 'web-ingress', collection: ingresses };

export const ingress: Step = {
  id: 'ingress',
  title: 'Ingress (Traefik)',
  extra: true, // its image takes Go five minutes
  needs: { images: ['traefik'] },
  inputs: objects,

  async apply(context) {
    await applyObjects(context, await objects());
    if (!context.host.dryRun) await ensureImages(context, 'traefik');
  },

  objects,

  async deleteObjects(context) {
    await deleteObjects(context, await objects());
  },

  byHand: { proofs: () => [`${kubectl} -n traefik rollout status deployment traefik --timeout=5s`] },

  checks: [
    check('Traefik is Available', (context) => deploymentIsAvailable(context, 'traefik', 'traefik')),
    check('Traefik answers for a name that no Ingress has, on port 30080 of the node', async ({ lab }) => {
      const { status, body } = await throughIngress(lab, 'nobody.invalid');
      if (status !== 404) throw new Error(`the answer was ${status}: ${body.trim().slice(0, 200)}`);
    }),
  ],

  demo: route,
  teaching: () => ({
    before: [fails('kubectl get ingressclasses', says('No resources found'))],
    tasks: [
      tell(
        'ingress-class',
        { en: 'Which IngressClass is there now?', fr: 'Quelle IngressClass existe maintenant ?' },
        "kubectl get ingressclasses -o jsonpath='{.items[*].metadata.name}'",
      ),
    ],
  }),

  observations: () => [
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
      `kubectl apply -f ${demoFile(route)} && kubectl get ingress web`,
      says('web.test'),
      writeDemo(route),
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
};
