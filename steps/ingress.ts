import { request } from 'node:http';
import { imageReference } from '../lib/binaries/versions.ts';
import { type Answer, answerTo } from '../lib/cluster/http.ts';
import { ensureImages } from '../lib/cluster/images.ts';
import { readManifest } from '../lib/cluster/manifest.ts';
import { applyObjects, deleteObjects, deploymentIsAvailable } from '../lib/cluster/objects.ts';
import { check } from '../lib/engine/check.ts';
import type { Lab } from '../lib/engine/lab.ts';
import type { Step } from '../lib/engine/step.ts';

/** The node's port that leads to Traefik's HTTP; manifests/traefik.yaml fixes it. */
export const ingressPort = 30080;

/** Milliseconds after which a router that says nothing is taken as not answering. */
const timeoutMs = 2_000;

/**
 * What the ingress controller answers on the node's port to a GET of / for this host, whatever its status: a 404 from
 * it is an answer too. Throws when nobody answers.
 */
export const throughIngress = ({ node }: Pick<Lab, 'node'>, host: string): Promise<Answer> => {
  const options = { host: node.address, port: ingressPort, headers: { host }, timeout: timeoutMs, agent: false };
  return answerTo(request(options), { whom: `${node.address}:${ingressPort}`, timeoutMs: timeoutMs });
};

const objects = () => readManifest('traefik', { image: imageReference('traefik') });

export const ingress: Step = {
  id: 'ingress',
  title: 'Ingress (Traefik)',

  async apply(context) {
    await applyObjects(context, await objects());
    if (!context.host.dryRun) await ensureImages(context);
  },

  objects,

  async deleteObjects(context) {
    await deleteObjects(context, await objects());
  },

  checks: [
    check('Traefik is Available', (context) => deploymentIsAvailable(context, 'traefik', 'traefik')),
    check('Traefik answers for a name that no Ingress has, on port 30080 of the node', async ({ lab }) => {
      const { status, body } = await throughIngress(lab, 'nobody.invalid');
      if (status !== 404) throw new Error(`the answer was ${status}: ${body.trim().slice(0, 200)}`);
    }),
  ],
};
