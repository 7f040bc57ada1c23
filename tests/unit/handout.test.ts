import { afterEach, beforeEach, expect, test } from 'vitest';
import { handOut } from '../../bin/teach/handout.ts';
import { readObservations, saveObservation } from '../../lib/engine/observations.ts';
import type { LabObservation, LabStep } from '../../lib/engine/step.ts';
import type { Language } from '../../lib/engine/text.ts';
import { plainLab, scratchFolder } from '../fixtures.ts';

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
let path: string;
beforeEach(async () => {
  scratch = await scratchFolder();
  path = `${scratch.path}/seen.json`;
});
afterEach(() => scratch.remove());

const observation: LabObservation = {
  id: 'kubectl get nodes',
  phrase: { en: 'there is no Node', fr: 'il n’y a pas de Node' },
  command: 'kubectl get nodes',
  look: async () => '',
};
const step = (id: string, ...observations: readonly LabObservation[]): LabStep => ({
  id,
  title: id,
  apply: async () => {},
  checks: [],
  observations,
});

/** The hand-out of a lab with two steps, the second with something to see. */
const text = async (language: Language = 'en'): Promise<string> => {
  const steps = [step('kube-apiserver'), step('containerd', observation)].map((one) => ({ step: one, commands: [] }));
  return handOut(plainLab, steps, await readObservations(path), language);
};

const command = '  ```sh\n  kubectl get nodes\n  ```\n\n';

test('below a command stands what was seen', async () => {
  await saveObservation(path, 'containerd', observation, 'No resources found\n');
  expect(await text()).toContain(
    `### What to see\n\n- there is no Node\n\n${command}  \`\`\`\`text\n  No resources found\n  \`\`\`\`\n`,
  );
});

test.each([
  ['en', 'The command prints nothing.'],
  ['fr', 'La commande n’affiche rien.'],
] as const)('and where nothing was printed, that: %s', async (language, words) => {
  await saveObservation(path, 'containerd', observation, '');
  expect(await text(language)).toContain(`${command}  ${words}\n`);
});

test.each([
  [
    'en',
    'Not recorded: `hardway reset --to kube-apiserver`, then `hardway next` or `hardway up --observe`, records it.',
  ],
  [
    'fr',
    'Non enregistré : `hardway reset --to kube-apiserver`, puis `hardway next` ou `hardway up --observe`, l’enregistre.',
  ],
] as const)('and where nobody looked, how it is recorded: %s', async (language, words) => {
  await saveObservation(path, 'kubelet', observation, 'NotReady');
  expect(await text(language)).toContain(`${command}  ${words}\n`);
});

test('no private key gets in, whatever was seen', async () => {
  await saveObservation(path, 'containerd', observation, '-----BEGIN PRIVATE KEY-----');
  await expect(text()).rejects.toThrow('private key');
});
