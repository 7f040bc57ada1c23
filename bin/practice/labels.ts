import type { Language } from '../../lib/engine/text.ts';

interface Words {
  readonly points: (done: number, all: number) => string;
  readonly runs: (id: string) => string;
  readonly start: string;
  readonly how: string;
  readonly files: string;
  readonly cluster: string;
  readonly blind: string;
  readonly solved: string;
  readonly noMore: string;
  readonly back: string;
  readonly preparing: string;
  readonly takenBack: string;
}

/** What `hardway practice` says besides the texts of an exercise. */
export const labels: Readonly<Record<Language, Words>> = {
  en: {
    points: (done, all) => `${done} of ${all} done`,
    runs: (id) => `${id} runs: hardway practice task`,
    start: 'next: hardway practice start ID',
    how: 'hardway practice check marks it, hint helps, solution shows one way, give-up takes it back',
    files: 'no other file of the lab was changed',
    cluster: 'the data of the cluster are the same',
    blind: 'could not be looked at: ',
    solved: 'Solved.',
    noMore: 'there is no further hint; hardway practice solution shows one way',
    back: 'The exercise is taken back, and the lab is healthy.',
    preparing: 'the fault is being made',
    takenBack: 'interrupted; the fault is taken back',
  },
  fr: {
    points: (done, all) => `${done} sur ${all} faits`,
    runs: (id) => `${id} est en cours : hardway practice task`,
    start: 'la suite : hardway practice start ID',
    how: 'hardway practice check vérifie, hint aide, solution montre une réponse, give-up annule tout',
    files: 'aucun autre fichier du lab n’a été modifié',
    cluster: 'les données du cluster sont les mêmes',
    blind: 'n’a pas pu être vérifié : ',
    solved: 'Résolu.',
    noMore: 'il n’y a plus d’indice ; hardway practice solution montre une réponse',
    back: 'L’exercice est annulé, et le lab est sain.',
    preparing: 'la panne est en cours de préparation',
    takenBack: 'interrompu ; la panne est annulée',
  },
};
