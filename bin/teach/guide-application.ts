import { imageReference } from '../../lib/binaries/versions.ts';
import { apiOf } from '../../lib/cluster/api.ts';
import { requestText } from '../../lib/cluster/http.ts';
import { hasImage, pullImage } from '../../lib/cluster/images.ts';
import { readManifest } from '../../lib/cluster/manifest.ts';
import { deploymentIsAvailable } from '../../lib/cluster/objects.ts';
import { until } from '../../lib/engine/check.ts';
import { ApiError, reasonOf, Unhealthy, UserError } from '../../lib/engine/errors.ts';
import { readOnlyContext } from '../../lib/engine/runner.ts';
import type { Context } from '../../lib/engine/step.ts';
import { stepsWith } from '../../steps/index.ts';
import { ingress, ingressPort, throughIngress } from '../../steps/ingress.ts';
import { interruptible } from '../interrupt.ts';
import { requireLab } from '../lab.ts';
import { asTyped } from '../typed.ts';

const namespace = 'hardway-demo';
const host = 'dk.domain.tld';
/** Milliseconds that each wait may take. */
const deadline = 120_000;

/** The image of the guide. It listens on 8081; agnhost is told to. */
const guideImage = { image: 'docker.io/zwindler/vhelloworld:latest', args: '[]' };
const standIn = ({ lab }: Context) => ({
  image: imageReference('agnhost', lab.kubernetes),
  args: '[netexec, --http-port=8081]',
});

const say = (text: string): void => {
  process.stdout.write(`${asTyped(text)}\n`);
};

/** Returns the guide's image if containerd can pull it, else agnhost, which every lab has. */
const chooseImage = async (context: Context): Promise<typeof guideImage> => {
  const { image } = guideImage;
  const { signal } = context;
  const isThere = () =>
    hasImage(image, signal).then(
      () => true,
      () => false,
    );
  if (await isThere()) return guideImage;
  say(`pulling ${image}`);
  const refusal = await pullImage(image, () => {}, signal);
  if (refusal === undefined) return guideImage;
  say(`it cannot be had here, so ${standIn(context).image} serves instead: ${refusal.split('\n').at(-1)}`);
  return standIn(context);
};

/** Deletes the namespace of the demo, and with it all its objects. */
const remove = async (context: Context): Promise<void> => {
  const api = await apiOf(context);
  await api.remove({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  const isGone = async (): Promise<void> => {
    const left = await api.get(`/api/v1/namespaces/${namespace}`).catch((error: unknown) => error);
    if (!(left instanceof ApiError && left.status === 404)) throw new Error('it is still being deleted');
  };
  await until(`the namespace ${namespace} is gone`, isGone, { signal: context.signal, deadline });
};

/** Creates the demo, waits until it answers, and returns the address of its Service. */
const create = async (context: Context): Promise<string> => {
  const { lab, signal } = context;
  const api = await apiOf(context);
  for (const object of await readManifest('demo', await chooseImage(context))) await api.apply(object);
  await until('two Pods are available', () => deploymentIsAvailable(context, namespace, 'web'), { signal, deadline });
  const service = await api.get<{ spec: { clusterIP: string } }>(`/api/v1/namespaces/${namespace}/services/web`);
  const url = `http://${service.spec.clusterIP}:3000/`;
  const answers = async (): Promise<void> => {
    await requestText(url, { timeoutMs: 2000 });
  };
  await until('the Service answers', answers, { signal, deadline });
  if (lab.with.includes(ingress.id)) {
    const isRouted = async (): Promise<void> => {
      const { status, body } = await throughIngress(lab, host);
      if (status !== 200) throw new Error(`${status}: ${body.trim().slice(0, 200)}`);
    };
    await until(`the Ingress answers for ${host}`, isRouted, { signal, deadline });
  }
  return url;
};

const words = ({ lab }: Context, url: string): string => `
web answers. Try:
  kubectl -n ${namespace} get deployments,pods,services,ingresses
  curl ${url}
${
  lab.with.includes(ingress.id)
    ? `  curl -H 'Host: ${host}' http://${lab.node.address}:${ingressPort}/`
    : '  hardway up --with ingress        then its Ingress has a controller'
}
Take it away:
  hardway demo --delete`;

/**
 * Brings up the guide's web application, or deletes it. Throws Unhealthy where it does not answer, and UserError where
 * Pods have no network yet.
 */
export const demo = async (options: { delete?: boolean }): Promise<void> => {
  const { lab, steps: applied } = await requireLab();
  const steps = stepsWith(lab);
  if (!steps.some(({ id, carriesPods }) => carriesPods && id in applied))
    throw new UserError('this cluster is not whole: its Pods have no network yet', 'hardway up');
  await interruptible(`hardway demo${options.delete ? ' --delete' : ''}`, async (signal) => {
    const context = { ...readOnlyContext(lab, steps), signal };
    try {
      if (options.delete) {
        await remove(context);
        say('the demo is gone');
      } else say(words(context, await create(context)));
    } catch (error) {
      throw new Unhealthy(`the demo: ${reasonOf(error)}`, { next: 'hardway status shows what is not healthy' });
    }
  });
};
