import { stringify } from 'yaml';
import { Bug } from '../../lib/engine/errors.ts';
import type { Lab } from '../../lib/engine/lab.ts';
import { type LedgerEntry, readLedger } from '../../lib/engine/ledger.ts';
import { readOnlyContext } from '../../lib/engine/runner.ts';
import type { State } from '../../lib/engine/state.ts';
import type { Context, LabStep } from '../../lib/engine/step.ts';
import { readText, statIfThere } from '../../lib/host/files.ts';
import { paths } from '../../lib/host/paths.ts';
import { quoted } from '../../lib/host/run.ts';
import { heredoc, kubectl } from '../../steps/by-hand.ts';
import { stepsWith } from '../../steps/index.ts';
import { readLesson } from './lesson.ts';
import { noteOn } from './notes.ts';

/** Returns shell commands instead of the content of a file, for a file with a key, which a transcript must not show. */
type FileByHand = (path: string) => Promise<readonly string[] | undefined>;

const modeOf = (mode: number): string => (mode & 0o777).toString(8);

const commandOf = async ({ do: deed }: LedgerEntry, byHand: FileByHand): Promise<readonly string[]> => {
  if (deed.kind === 'run') return [quoted(deed.argv)];
  const { path } = deed;
  const own = await byHand(path);
  if (own) return own;
  const stat = await statIfThere(path);
  if (!stat) return [];
  if (deed.kind === 'make-dir') return [`mkdir -p -m ${modeOf(stat.mode)} ${quoted([path])}`];
  if (deed.kind !== 'write') return []; // a daemon makes it by itself, such as a socket or a log
  const lines = heredoc(path, await readText(path));
  const mode = modeOf(stat.mode);
  return mode === '644' ? lines : [...lines, `chmod ${mode} ${quoted([path])}`];
};

/**
 * Returns the changes of a step as shell commands, in their order and each once: folders and files as they are now,
 * commands as they were run.
 */
export const commandsOf = async (entries: readonly LedgerEntry[], byHand: FileByHand): Promise<readonly string[]> => {
  const seen = new Set<string>();
  const commands: string[] = [];
  for (const entry of entries) {
    const deed = JSON.stringify(entry.do);
    if (seen.has(deed)) continue;
    seen.add(deed);
    commands.push(...(await commandOf(entry, byHand)));
  }
  return commands;
};

/** A step with the commands that do the same by hand. */
export interface ManualStep {
  readonly step: LabStep;
  readonly commands: readonly string[];
}

/**
 * Returns the beginning of every script: checks of the machine, and functions that bring programs and images, from a
 * cache or from their upstream sites.
 */
export const preamble = ({ node }: Lab): string => `#!/bin/bash
# One node of Kubernetes by hand, as hardway made it on ${node.name}: the same commands, files and flags, new keys.
set -eu
CACHE=\${CACHE:-${paths.cache}} # programs and images that are here already; what is not comes from its maker
[ "$(id -u)" = 0 ] || { echo 'run this as root' >&2; exit 2; }
[ ! -e ${paths.root} ] || { echo 'there is a lab on this machine: hardway reset, first' >&2; exit 2; }
ip -4 -o address | grep -qF ' ${node.address}/' || { echo 'this is for a machine named ${node.name} with the address ${node.address}' >&2; exit 2; }

downloads=$(mktemp -d -p /var/tmp) # each file is fetched once, whatever is taken out of it
trap 'rm -r "$downloads"' EXIT

# place TARGET FILE-IN-CACHE URL SHA256 [MEMBER-OF-TARBALL]
place() {
  [ ! -e "$1" ] || return 0
  if [ -x "$CACHE/$2" ]; then ln -s "$CACHE/$2" "$1"; return; fi
  file=$downloads/\${3##*/}
  [ -e "$file" ] || curl -fsSL -o "$file" "$3"
  sum=$4
  [ -n "$sum" ] || sum=$(curl -fsSL "$3.sha256")
  echo "\${sum%% *}  $file" | sha256sum --check --quiet
  if [ $# -gt 4 ]; then
    tar -xzOf "$file" "$5" >"$file.member" 2>/dev/null || tar -xzOf "$file" "./$5" >"$file.member"
    file=$file.member
  fi
  install -m 755 "$file" "$1"
}

# image REFERENCE FILE-IN-CACHE
image() {
  if [ -e "$CACHE/$2" ]; then ${paths.bin}/ctr -n k8s.io images import --local "$CACHE/$2"; else ${paths.bin}/crictl pull "$1"; fi
}

# waits COMMAND...: until it ends well
waits() {
  echo "waiting: $*"
  until "$@" >/dev/null 2>&1; do sleep 0.5; done
}
`;

const objectCommands = async (step: LabStep, context: Context): Promise<readonly string[]> => {
  const objects = (await step.objects?.(context)) ?? [];
  if (objects.length === 0) return [];
  const file = `${paths.config}/${step.id}-objects.yaml`;
  return [
    ...heredoc(file, objects.map((object) => `---\n${stringify(object, { lineWidth: 0 })}`).join('')),
    `waits ${kubectl} apply --server-side --field-manager=hardway --force-conflicts -f ${file}`,
  ];
};

/** Throws when lines contain a private key: a transcript must never show one. */
export const assertNoPrivateKey = (lines: readonly string[]): void => {
  if (lines.some((line) => /PRIVATE KEY|client-key-data/.test(line)))
    throw new Bug('the transcript would have shown a private key');
};

/** The commands that take a step by hand. */
const commandsFor = async (
  step: LabStep,
  entries: readonly LedgerEntry[],
  context: Context,
): Promise<readonly string[]> => {
  const { file, before, proofs } = step.byHand ?? {};
  const { notes } = await readLesson(step.id, 'en'); // as every comment of the script
  const note = (name: string): string => noteOn(notes, name, context.lab).reason ?? '';
  // The manifests of the demo are for the observations, which a script does not make.
  const instead: FileByHand = async (path) => (path.startsWith(`${paths.demo}/`) ? [] : file?.(path, context));
  return [
    ...(await commandsOf(entries, instead)),
    ...((await before?.(context, note)) ?? []),
    ...(await objectCommands(step, context)),
    ...(proofs?.(context.lab) ?? []).map((proof) => `waits ${proof}`),
  ];
};

/** Returns the steps that were applied to this machine, with the commands that do the same by hand. */
export const stepsByHand = async ({ lab, steps: applied }: State): Promise<readonly ManualStep[]> => {
  const entries = await readLedger(paths.ledger);
  const steps = stepsWith(lab);
  const context = readOnlyContext(lab, steps);
  const found: ManualStep[] = [];
  for (const step of steps) {
    if (!(step.id in applied)) continue;
    const own = entries.filter((entry) => entry.step === step.id);
    const commands = await commandsFor(step, own, context);
    assertNoPrivateKey(commands);
    found.push({ step, commands });
  }
  return found;
};
