import { readFile } from 'node:fs/promises';
import { parseAllDocuments } from 'yaml';
import type { KubeObject } from './api.ts';

/**
 * Reads one of manifests/ and fills in its {{variables}}. Throws when the file names a variable that was not given:
 * that is a bug of ours, not of the person.
 */
export const readManifest = async (
  name: string,
  variables: Readonly<Record<string, string>>,
): Promise<readonly KubeObject[]> => {
  const text = await readFile(`${import.meta.dirname}/../../manifests/${name}.yaml`, 'utf8');
  const filled = text.replaceAll(/^#.*$/gm, '').replaceAll(/\{\{(\w+)\}\}/g, (_, variable: string) => {
    const value = variables[variable];
    if (value === undefined) throw new Error(`manifests/${name}.yaml wants {{${variable}}}`);
    return value;
  });
  return parseAllDocuments(filled).map((document) => document.toJS() as KubeObject);
};
