import { readFile } from 'node:fs/promises';
import { parseAllDocuments } from 'yaml';
import { Bug } from '../engine/errors.ts';
import { fillTemplate } from '../engine/text.ts';
import type { KubeObject } from './api.ts';

/**
 * Reads one of manifests/ and fills its {{variables}}. Throws when the file names a variable that was not given: that
 * is a bug.
 */
export const manifestText = async (name: string, variables: Readonly<Record<string, string>>): Promise<string> => {
  const text = await readFile(`${import.meta.dirname}/../../manifests/${name}.yaml`, 'utf8');
  return fillTemplate(
    text.replaceAll(/^#.*\n?/gm, ''),
    variables,
    (variable) => new Bug(`manifests/${name}.yaml wants {{${variable}}}`),
  );
};

/** Reads the objects of one of manifests/. Throws as manifestText does. */
export const readManifest = async (
  name: string,
  variables: Readonly<Record<string, string>>,
): Promise<readonly KubeObject[]> =>
  parseAllDocuments(await manifestText(name, variables)).map((document) => document.toJS() as KubeObject);
