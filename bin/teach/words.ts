import type { Language } from '../../lib/engine/text.ts';

/** Texts of the teaching commands around lessons, phrases and outputs. */
interface Words {
  readonly stepOf: (step: string, number: number, total: number) => string;
  readonly run: string;
  /** Line on the consequence of leaving out a flag or a field. */
  readonly without: (loss: string) => string;
  /** Sentence on the account of a daemon, before the files that it is handed. */
  readonly account: (user: string) => string;
  readonly files: string;
  readonly more: (count: number) => string;
  readonly observations: string;
  readonly putBack: (files: readonly string[]) => string;
  readonly whichWord: string;
  readonly stopped: string;
  readonly passed: (steps: readonly string[], last: string, way: string) => string;
  readonly next: (step: string) => string;
  readonly end: string;
}

export const words: Readonly<Record<Language, Words>> = {
  en: {
    stepOf: (step, number, total) => `${step}: step ${number} of ${total}`,
    run: 'What was run, flag by flag',
    without: (loss) => `without it: ${loss}`,
    account: (user) =>
      `runs as the user ${user}, with none of root's rights. Only root may read these files; the process gets a copy of each, and only it can read that copy:`,
    files: 'What it made on this machine',
    more: (count) => `... and ${count} more`,
    observations: 'What is true now',
    putBack: (files) => `put back, as it was not there: ${files.map((file) => `kubectl apply -f ${file}`).join(', ')}`,
    whichWord: 'which word? ',
    stopped:
      'stopped for today; everything stays as it is\nnext: hardway up --pause --lang en goes on from here, and so does hardway learn',
    passed: (steps, last, way) =>
      `no pause after ${steps.join(', ')}: ${last} is there already, and the story goes on from it. To hear it again: ${way}, or hardway back step by step, then hardway up --pause=${steps.join(',')}`,
    next: (step) =>
      `next: hardway next (${step}); hardway back takes this step away; hardway shell, to look for yourself`,
    end: 'That was the last step: the cluster is whole. hardway back takes a step away, hardway reset all of them.',
  },
  fr: {
    stepOf: (step, number, total) => `${step} : étape ${number} sur ${total}`,
    run: 'Ce qui a été lancé, option par option',
    without: (loss) => `sans cela : ${loss}`,
    account: (user) =>
      `s’exécute sous l’utilisateur ${user}, sans aucun droit de root. Seul root peut lire ces fichiers ; le processus reçoit une copie de chacun, que lui seul peut lire :`,
    files: 'Ce qui a été créé sur cette machine',
    more: (count) => `... et ${count} de plus`,
    observations: 'Ce qui est vrai maintenant',
    putBack: (files) => `remis, car absent : ${files.map((file) => `kubectl apply -f ${file}`).join(', ')}`,
    whichWord: 'quel mot ? ',
    stopped:
      'arrêté pour aujourd’hui ; tout reste en l’état\nla suite : hardway up --pause --lang fr reprend ici, hardway learn aussi',
    passed: (steps, last, way) =>
      `pas de pause après ${steps.join(', ')} : ${last} est déjà là, et l’histoire reprend à partir de là. Pour la réentendre : ${way}, ou hardway back pas à pas, puis hardway up --pause=${steps.join(',')}`,
    next: (step) =>
      `la suite : hardway next (${step}) ; hardway back retire cette étape ; hardway shell, pour regarder`,
    end: 'C’était la dernière étape : le cluster est complet. hardway back retire une étape, hardway reset toutes.',
  },
};
