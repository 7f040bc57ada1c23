import type { Language } from '../../lib/engine/text.ts';
import type { ScreenWords } from './screen/show.ts';

/** Texts of the two screens of a step, of the first and of the last screen. */
export interface Labels extends ScreenWords {
  readonly notStarted: string;
  readonly doesNotWork: string;
  readonly why: string;
  readonly missing: string;
  readonly yourGuess: string;
  readonly answer: string;
  readonly startWithoutGuess: string;
  readonly lesson: string;
  readonly map: string;
  readonly stop: string;
  readonly does: string;
  readonly started: string;
  readonly guideFlags: (guide: number, more: number) => string;
  readonly talksTo: string;
  readonly before: string;
  readonly now: string;
  readonly notYet: string;
  readonly log: string;
  readonly guessedRight: (because: string) => string;
  readonly guessedWrong: (right: string, because: string) => string;
  readonly yourTurn: string;
  readonly question: string;
  readonly goOn: (number: number) => string;
  readonly finish: string;
  readonly shell: string;
  readonly typeAnswer: string;
  readonly answers: string;
  readonly flags: string;
  readonly seen: string;
  readonly logKey: string;
  readonly word: string;
  readonly repair: string;
  readonly right: string;
  readonly wrong: (command: string) => string;
  readonly couldNotLook: (why: string) => string;
  readonly noTask: string;
  readonly noFlags: string;
  readonly noLog: string;
  readonly broken: string;
  readonly repaired: (what: string) => string;
  readonly nothingToRepair: string;
  readonly showAnswer: string;
  readonly nextQuestion: string;
  readonly looking: (phrase: string) => string;
  readonly shellTasks: string;
  readonly shellWords: string;
  readonly welcome: readonly string[];
  readonly begin: string;
  readonly built: (steps: number) => string;
  readonly score: (right: number, guesses: number, done: number, tasks: number) => string;
  readonly whatNext: readonly string[];
}

export const labels: Readonly<Record<Language, Labels>> = {
  en: {
    prompt: '>',
    spaceKey: 'Space',
    enterKey: 'Enter',
    typedPrompt: 'key, then Enter: ',
    unknownKey: (key) => `no key ${key} here: they are above >`,
    page: (number, total) => `page ${number} of ${total}`,
    more: 'more',
    close: 'close',
    notStarted: 'not started yet',
    doesNotWork: 'WHAT DOES NOT WORK (tried just now)',
    why: 'WHY',
    missing: 'MISSING',
    yourGuess: 'YOUR GUESS',
    answer: 'guess, then start',
    startWithoutGuess: 'start, no guess',
    lesson: 'the whole lesson',
    map: 'map of the steps',
    stop: 'stop; all stays',
    does: 'Does',
    started: 'Started',
    guideFlags: (guide, more) => `flags: ${guide} of the guide, ${more} more (key o)`,
    talksTo: 'Talks to',
    before: 'BEFORE',
    now: 'NOW',
    notYet: 'NOT YET',
    log: 'Log',
    guessedRight: (because) => `✓ right: ${because}`,
    guessedWrong: (right, because) => `✗ it is "${right}": ${because}`,
    yourTurn: 'YOUR TURN',
    question: 'QUESTION',
    goOn: (number) => `on to step ${number}`,
    finish: 'to the end',
    shell: 'a shell',
    typeAnswer: 'type an answer',
    answers: 'answers',
    flags: 'flags and why',
    seen: 'what was seen',
    logKey: 'its log',
    word: 'explain a word',
    repair: 'repair',
    right: '✓ right',
    wrong: (command) => `not that; one way to look: ${command}`,
    couldNotLook: (why) => `could not look: ${why}`,
    noTask: 'no answer is left to type',
    noFlags: 'this step starts no program',
    noLog: 'this step starts no program, so there is no log',
    broken: 'This is no longer as it was. Key a repairs it.',
    repaired: (what) => `repaired: ${what}`,
    nothingToRepair: 'nothing is broken',
    showAnswer: 'the answer',
    nextQuestion: 'on',
    looking: (phrase) => `looking: ${phrase}`,
    shellTasks: 'Your turn:',
    shellWords:
      'kubectl, etcdctl, crictl and ctr know this cluster. Arrow up has these commands, `tasks` shows them again, exit goes back.',
    welcome: [
      'Kubernetes is some ten programs. You will start them one after the other, and see before each what does not work without it, and after it what does.',
      'It takes about two hours. You should know a shell and what a process, a port and a file are; nothing about Kubernetes.',
      'Each step has two screens: before it starts, with a question to guess at; and after it, with something to do. Nothing is lost when you stop (key x) or close the terminal: the same command goes on from there.',
    ],
    begin: 'begin',
    built: (steps) =>
      `You have started every component of a Kubernetes cluster: ${steps} steps, each a process or a file that you can look at.`,
    score: (right, guesses, done, tasks) => `Guesses: ${right} of ${guesses} right. Tasks: ${done} of ${tasks} done.`,
    whatNext: [
      'hardway transcript > lesson.md   the hand-out: commands, files, what you saw',
      'hardway explain pod NAME         what every component did for a Pod',
      'hardway back, hardway next       takes the last step away, and takes it again',
      'hardway practice                 faults to find and to repair',
      'hardway reset                    takes all of it back',
    ],
  },
  fr: {
    prompt: '>',
    spaceKey: 'Espace',
    enterKey: 'Entrée',
    typedPrompt: 'une touche, puis Entrée : ',
    unknownKey: (key) => `pas de touche ${key} ici : elles sont ci-dessus >`,
    page: (number, total) => `page ${number} sur ${total}`,
    more: 'la suite',
    close: 'fermer',
    notStarted: 'pas encore lancé',
    doesNotWork: 'CE QUI NE MARCHE PAS (essayé à l’instant)',
    why: 'POURQUOI',
    missing: 'IL MANQUE',
    yourGuess: 'PRONOSTIC',
    answer: 'répondre et lancer',
    startWithoutGuess: 'lancer',
    lesson: 'la leçon complète',
    map: 'plan des étapes',
    stop: 'arrêter ; tout reste',
    does: 'Rôle',
    started: 'Lancé',
    guideFlags: (guide, more) => `options : ${guide} du guide, ${more} de plus (touche o)`,
    talksTo: 'Parle à',
    before: 'AVANT',
    now: 'MAINTENANT',
    notYet: 'PAS ENCORE',
    log: 'Journal',
    guessedRight: (because) => `✓ juste : ${because}`,
    guessedWrong: (right, because) => `✗ c’était « ${right} » : ${because}`,
    yourTurn: 'À VOUS',
    question: 'QUESTION',
    goOn: (number) => `suite : étape ${number}`,
    finish: 'vers la fin',
    shell: 'un shell',
    typeAnswer: 'taper une réponse',
    answers: 'réponses',
    flags: 'options et raisons',
    seen: 'ce qui a été vu',
    logKey: 'son journal',
    word: 'expliquer un mot',
    repair: 'réparer',
    right: '✓ juste',
    wrong: (command) => `ce n’est pas cela ; pour vérifier : ${command}`,
    couldNotLook: (why) => `vérification impossible : ${why}`,
    noTask: 'il ne reste pas de réponse à taper',
    noFlags: 'cette étape ne lance aucun programme',
    noLog: 'cette étape ne lance aucun programme : pas de journal',
    broken: 'Ceci n’est plus comme avant. La touche a le répare.',
    repaired: (what) => `réparé : ${what}`,
    nothingToRepair: 'rien n’est cassé',
    showAnswer: 'la réponse',
    nextQuestion: 'suite',
    looking: (phrase) => `vérification : ${phrase}`,
    shellTasks: 'À vous :',
    shellWords:
      'kubectl, etcdctl, crictl et ctr connaissent ce cluster. Flèche haut : ces commandes ; `tasks` les remontre ; exit revient.',
    welcome: [
      'Kubernetes, c’est une dizaine de programmes. Vous allez les lancer l’un après l’autre, et voir avant chacun ce qui ne marche pas sans lui, puis après lui ce qui marche.',
      'Comptez deux heures. Il faut connaître le shell et savoir ce que sont un processus, un port et un fichier ; rien de Kubernetes.',
      'Chaque étape a deux écrans : avant le lancement, avec un pronostic ; après, avec quelque chose à faire. Rien n’est perdu si vous arrêtez (touche x) ou fermez le terminal : la même commande reprend au même endroit.',
    ],
    begin: 'commencer',
    built: (steps) =>
      `Vous avez lancé tous les composants d’un cluster Kubernetes : ${steps} étapes, chacune un processus ou un fichier que vous pouvez regarder.`,
    score: (right, guesses, done, tasks) =>
      `Pronostics justes : ${right} sur ${guesses}. Tâches faites : ${done} sur ${tasks}.`,
    whatNext: [
      'hardway transcript > lecon.md   le support : commandes, fichiers, ce qui a été vu',
      'hardway explain pod NOM         ce que chaque composant a fait pour un Pod',
      'hardway back, hardway next      retire la dernière étape, et la refait',
      'hardway practice                des pannes à trouver et à réparer',
      'hardway reset                   retire tout le lab',
    ],
  },
};
