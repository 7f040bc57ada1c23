import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

const project = join(import.meta.dirname, '..');

/** Puts text behind the only place where `mark` stands. */
const behind = (text: string, mark: string, added: string): string => {
  if (text.split(mark).length !== 2) throw new Error(`${JSON.stringify(mark)} is not there once`);
  return text.replace(mark, `${mark}${added}`);
};

const step = `import { requestText } from '../lib/cluster/http.ts';
import { ensureRunning } from '../lib/daemons/supervisor.ts';
import { check } from '../lib/engine/check.ts';
import { flag } from '../lib/engine/daemon.ts';
import type { Step } from '../lib/engine/step.ts';
import { certFile, keyFile, paths } from '../lib/host/paths.ts';
import { observe, says } from '../steps/observe.ts';

const url = 'https://127.0.0.1:10299/';

const program = \`#!\${process.execPath}
const flags = new Map(process.argv.slice(2).map((one) => one.slice(2).split('=')));
const { readFileSync } = require('node:fs');
require('node:https')
  .createServer(
    { cert: readFileSync(flags.get('tls-cert-file')), key: readFileSync(flags.get('tls-private-key-file')) },
    (_, answer) => answer.end('hello'),
  )
  .listen(10299, flags.get('bind-address'));
\`;

const daemon = () => ({
  name: 'greeter',
  description: 'greeter: greets whoever asks',
  binary: \`\${paths.bin}/greeter\`,
  after: ['network.target'],
  flags: [
    flag('bind-address', '127.0.0.1'),
    flag('tls-cert-file', certFile('greeter-server')),
    flag('tls-private-key-file', keyFile('greeter-server')),
  ],
});

export const greeter: Step = {
  id: 'greeter',
  title: 'greeter',
  ports: [{ number: 10299, at: 'loopback' }],
  daemon,

  async apply({ lab, host }) {
    await host.writeFile(\`\${paths.bin}/greeter\`, program, 0o755);
    await ensureRunning({ lab, host }, daemon());
  },

  byHand: { proofs: () => [\`curl -fsS --cacert \${certFile('ca')} \${url}\`] },

  checks: [
    check(\`answers \${url}\`, async () => {
      await requestText(url, { credentials: { ca: certFile('ca') } });
    }),
  ],

  observations: () => [
    observe({ en: 'the greeter greets', fr: 'le greeter salue' }, \`curl -sS --cacert \${certFile('ca')} \${url}\`, says('hello')),
  ],
};
`;

const english = `# greeter: greets whoever asks

## In short

- Does: answers each request with one word
- Talks to: nobody

## Before it starts

- Why: Nobody greets.
- Missing: who does: the greeter.

### What does it say?

1. hello
2. nothing
3. no

> 1: it knows no other word.

## What it is

A server that answers each request with one word. It keeps nothing at all.

## Why here

It is the last of the steps, as nothing else in the cluster rests on it.

## What it talks to, and with which certificate

To whoever asks on loopback, to whom it shows the certificate greeter-server.

## What would happen without it

Nobody would be greeted, and everything else would go on as it did before.

## What to try

\`\`\`sh
curl -sS --cacert /var/lib/hardway/certs/ca.pem https://127.0.0.1:10299/
#> hello
\`\`\`

## Three questions

### Who signed its certificate?

The CA of the cluster, as the file ca.pem is enough for curl to believe it.

### What does it lose when it is stopped?

Nothing at all: it keeps no state, and greets again once it is started.

### Who can reach it?

Only programs of this machine, as it listens on the loopback address alone.

## Flags

- \`--bind-address\`: its port is for this machine. Without it: the whole network
  can reach it.
- \`--tls-cert-file\`: what it shows to callers. Without it: it ends at once.
- \`--tls-private-key-file\`: the key of it. Without it: it ends at once too.
`;

const french = `# greeter : salue qui demande

## En bref

- Rôle : répond à chaque requête par un mot
- Parle à : personne

## Avant son démarrage

- Pourquoi : Personne ne salue.
- Il manque : qui le fasse : le greeter.

### Que dit-il ?

1. hello
2. rien
3. non

> 1: il ne connaît pas d’autre mot.

## Ce que c’est

Un serveur qui répond à chaque requête par un seul mot, sans rien garder.

## Pourquoi ici

C’est la dernière des étapes, car rien d’autre dans le cluster n’en dépend.

## À qui il parle, et avec quel certificat

À qui l’interroge sur loopback, à qui il montre le certificat greeter-server.

## Ce qui arriverait sans lui

Personne ne serait salué, et tout le reste continuerait comme auparavant.

## À essayer

\`\`\`sh
curl -sS --cacert /var/lib/hardway/certs/ca.pem https://127.0.0.1:10299/
#> hello
\`\`\`

## Trois questions

### Qui a signé son certificat ?

La CA du cluster, puisque le fichier ca.pem suffit à curl pour le croire.

### Que perd-il quand on l’arrête ?

Rien du tout : il ne garde aucun état, et salue à nouveau une fois relancé.

### Qui peut le joindre ?

Seuls les programmes de cette machine, car il n’écoute que sur loopback.

## Options

- \`--bind-address\` : son port est pour cette machine. Sans cela : tout le
  réseau peut le joindre.
- \`--tls-cert-file\` : ce qu’il montre. Sans cela : il s’arrête aussitôt.
- \`--tls-private-key-file\` : sa clé privée. Sans cela : il s’arrête aussi.
`;

const certificate = `CN: greeter
names: [{ O: hardway }]
hosts: [localhost, 127.0.0.1]
signer: ca
usages: [digital signature, key encipherment, server auth]
years: 1
`;

/**
 * All files that a made-up component with a daemon takes, by their paths in the project: its step, its row in the
 * order, its certificate (a template, and what it is for in the lessons of the certificates), and its two lessons.
 */
export const componentFiles = async (): Promise<Readonly<Record<string, string>>> => {
  const read = (file: string): Promise<string> => readFile(join(project, file), 'utf8');
  const order = behind(await read('steps/index.ts'), '\n  smoke,\n', '  greeter,\n');
  const note = '- `greeter-server`';
  return {
    'steps/greeter.ts': step,
    'steps/index.ts': behind(order, "import { etcd } from './etcd.ts';\n", "import { greeter } from './greeter.ts';\n"),
    'certs-templates/components/greeter-server.yaml': certificate,
    'lessons/en/certificates.md': `${await read('lessons/en/certificates.md')}${note}: the greeter shows it to callers.\n`,
    'lessons/fr/certificates.md': `${await read('lessons/fr/certificates.md')}${note} : le greeter le montre.\n`,
    'lessons/en/greeter.md': english,
    'lessons/fr/greeter.md': french,
  };
};
