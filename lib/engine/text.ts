import { parseChoice } from './nearest.ts';

/** Languages of the lessons. */
export const languages = ['en', 'fr'] as const;
export type Language = (typeof languages)[number];
/** A text in each language. */
export type Text = Readonly<Record<Language, string>>;

/** Variable with the language of what is taught, for a shell or a VM whose locale says nothing of it. */
export const languageVariable = 'HARDWAY_LANG';

/**
 * Returns the language that was asked for, else that of HARDWAY_LANG, else that of the locale, as POSIX ranks its
 * variables, else English. Throws UserError for a language that is asked for and has no lessons.
 */
export const languageOf = (
  asked: string | undefined,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Language => {
  if (asked !== undefined) return parseChoice('language', languages, asked);
  const locale = env[languageVariable] || env['LC_ALL'] || env['LC_MESSAGES'] || env['LANG'] || '';
  return languages.find((language) => locale.startsWith(language)) ?? 'en';
};

/** Formats a size for a person, rounded down so that too little never looks like enough: 12 MB, 1.6 GB. */
export const formatBytes = (bytes: number): string =>
  bytes >= 1e9 ? `${(Math.floor(bytes / 1e8) / 10).toFixed(1)} GB` : `${Math.floor(bytes / 1e6)} MB`;

/** Fills each {{name}} of a template with its value. Throws what `missing` makes for a name that has none. */
export const fillTemplate = (
  template: string,
  values: Readonly<Record<string, string>>,
  missing: (name: string) => Error,
): string =>
  template.replaceAll(/\{\{(.*?)\}\}/g, (_, inner: string) => {
    const name = inner.trim();
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    if (value === undefined) throw missing(name);
    return value;
  });
