import { imageReference } from '../lib/binaries/versions.ts';
import { haveImages } from '../lib/cluster/images.ts';
import { readManifest } from '../lib/cluster/manifest.ts';
import { deploymentIsAvailable, inCluster, outOfCluster } from '../lib/cluster/objects.ts';
import { check } from '../lib/engine/check.ts';
import type { Step } from '../lib/engine/step.ts';
import { throughIngress } from './ingress-answer.ts';

const objects = () => readManifest('traefik', { image: imageReference('traefik') });

export const ingress: Step = {
  id: 'ingress',
  title: 'Ingress (Traefik)',

  async apply(context) {
    await inCluster(context, await objects());
    if (!context.host.dryRun) await haveImages(context);
  },

  objects,

  async withdraw(context) {
    await outOfCluster(context, await objects());
  },

  healthy: [
    check('Traefik is Available', (context) => deploymentIsAvailable(context, 'traefik', 'traefik')),
    check('Traefik answers for a name that no Ingress has, on port 30080 of the node', async ({ lab }) => {
      const { status, body } = await throughIngress(lab, 'nobody.invalid');
      if (status !== 404) throw new Error(`the answer was ${status}: ${body.trim().slice(0, 200)}`);
    }),
  ],
};
