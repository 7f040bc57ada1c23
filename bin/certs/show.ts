import { parseChoice } from '../../lib/engine/nearest.ts';
import { readOnlyContext } from '../../lib/engine/runner.ts';
import { languageOf } from '../../lib/engine/text.ts';
import { everyName, requestsFor } from '../../steps/certificates.ts';
import { stepsWith } from '../../steps/index.ts';
import { requireLab } from '../lab.ts';
import { explainLive } from '../teach/explain.ts';

/** `hardway certs show`: the certificate and why it is as it is, as `hardway explain cert` says it. */
export const show = async (name: string, { lang }: { readonly lang?: string }): Promise<void> => {
  const language = languageOf(lang);
  const { lab } = await requireLab();
  const names = everyName(await requestsFor(lab)).map((one) => one.name);
  const wanted = parseChoice('certificate', names, name);
  const context = readOnlyContext(lab, stepsWith(lab));
  process.stdout.write(`${await explainLive('cert', wanted, context, { namespace: 'default', language })}\n`);
};
