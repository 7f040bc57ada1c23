import { readFile } from 'node:fs/promises';
import { parseAllDocuments } from 'yaml';
import type { KubeObject } from './api.ts';

/**
 * The text of one of manifests/ with its {{variables}} filled in. Throws when the file names a variable that was not
 * given: that is a bug of ours, not of the person.
 */
export const manifestText = async (name: string, variables: Readonly<Record<string, string>>): Promise<string> => {
  const text = await readFile(`${import.meta.dirname}/../../manifests/${name}.yaml`, 'utf8');
  return text.replaceAll(/^#.*\n?/gm, '').replaceAll(/\{\{(\w+)\}\}/g, (_, variable: string) => {
    const value = variables[variable];
    if (value === undefined) throw new Error(`manifests/${name}.yaml wants {{${variable}}}`);
    return value;
  });
};

/** The objects of one of manifests/; throws as manifestText does. */
export const readManifest = async (
  name: string,
  variables: Readonly<Record<string, string>>,
): Promise<readonly KubeObject[]> =>
  parseAllDocuments(await manifestText(name, variables)).map((document) => document.toJS() as KubeObject);
