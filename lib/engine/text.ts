import { parseChoice } from './nearest.ts';

/** Languages of the lessons. */
export const languages = ['en', 'fr'] as const;
export type Language = (typeof languages)[number];
/** A text in each language. */
export type Text = Readonly<Record<Language, string>>;

/**
 * Returns the language that was asked for, else that of the locale, as POSIX ranks its variables, else English. Throws
 * UserError for a language without lessons.
 */
export const languageOf = (
  asked: string | undefined,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Language => {
  if (asked !== undefined) return parseChoice('language', languages, asked);
  const locale = env['LC_ALL'] || env['LC_MESSAGES'] || env['LANG'] || '';
  return languages.find((language) => locale.startsWith(language)) ?? 'en';
};
