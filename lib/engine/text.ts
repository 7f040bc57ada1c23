import { parseChoice } from './nearest.ts';

/** The languages that the lessons are written in. */
export const languages = ['en', 'fr'] as const;
export type Language = (typeof languages)[number];
/** Something said in each of them. */
export type Text = Readonly<Record<Language, string>>;

/**
 * The language that was asked for, else that of the person's locale as POSIX ranks its variables, else English.
 * Throws UserError for one that no lesson is written in.
 */
export const languageOf = (
  asked: string | undefined,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Language => {
  if (asked !== undefined) return parseChoice('language', languages, asked);
  const locale = env['LC_ALL'] || env['LC_MESSAGES'] || env['LANG'] || '';
  return languages.find((language) => locale.startsWith(language)) ?? 'en';
};
