/** Returns the certificates or keys in a text, each as PEM with its line break. */
export const blocksOf = (pem: string): readonly string[] =>
  pem.match(/-----BEGIN ([^-]+)-----[^-]+-----END \1-----\s*/g) ?? [];

/** Returns the first certificate or key of a text: the one that signs, where others are only trusted. */
export const firstBlock = (pem: string): string => blocksOf(pem)[0] ?? '';
