import { readFile } from 'node:fs/promises';
import { relative } from 'node:path';
import { stringify } from 'yaml';
import { archivePath, binaryPath } from '../../lib/binaries/cache.ts';
import { binaryNames, cniPlugins, imageReferences } from '../../lib/binaries/needed.ts';
import { plan } from '../../lib/binaries/release.ts';
import { productOf, versions } from '../../lib/binaries/versions.ts';
import type { Lab } from '../../lib/engine/lab.ts';
import { type LedgerEntry, readLedger } from '../../lib/engine/ledger.ts';
import { readOnlyContext } from '../../lib/engine/runner.ts';
import type { State } from '../../lib/engine/state.ts';
import type { LabStep } from '../../lib/engine/step.ts';
import { readIfThere, statIfThere } from '../../lib/host/files.ts';
import { certFile, keyFile, kubeconfigFile, paths } from '../../lib/host/paths.ts';
import { quoted } from '../../lib/host/run.ts';
import { opensslCommands } from '../../lib/pki/openssl.ts';
import { certificates, requestsFor } from '../../steps/certificates.ts';
import { stepsWith } from '../../steps/index.ts';
import { identities } from '../../steps/kubeconfigs.ts';
import { readLesson } from './lesson.ts';
import { noteOn } from './notes.ts';

/** Shell commands in the place of writing a file: for what holds a key, which a transcript must not show. */
export type ByHand = (path: string) => Promise<readonly string[] | undefined>;

const modeOf = (mode: number): string => (mode & 0o777).toString(8);

/** A heredoc that writes a file as it is. */
export const heredoc = (path: string, content: string): readonly string[] => [
  `cat >${quoted([path])} <<'EOF'`,
  content.replace(/\n$/, ''),
  'EOF',
];

const commandOf = async ({ what, undo }: LedgerEntry, byHand: ByHand): Promise<readonly string[]> => {
  if (undo.kind === 'run') return [what];
  const { path } = undo;
  const own = await byHand(path);
  if (own) return own;
  const stat = await statIfThere(path);
  if (!stat) return [];
  if (undo.kind === 'remove-tree') return [`mkdir -p -m ${modeOf(stat.mode)} ${quoted([path])}`];
  if (what !== `write ${path}`) return []; // something that a daemon makes by itself, such as a socket or a log
  const lines = heredoc(path, await readFile(path, 'utf8'));
  const mode = modeOf(stat.mode);
  return mode === '644' ? lines : [...lines, `chmod ${mode} ${quoted([path])}`];
};

/**
 * The changes of a step as shell commands, in their order and each once: folders and files as they are now, commands
 * as they were run.
 */
export const commandsOf = async (entries: readonly LedgerEntry[], byHand: ByHand): Promise<readonly string[]> => {
  const seen = new Set<string>();
  const commands: string[] = [];
  for (const entry of entries) {
    if (seen.has(entry.what)) continue;
    seen.add(entry.what);
    commands.push(...(await commandOf(entry, byHand)));
  }
  return commands;
};

/** A step with the commands that take it by hand. */
export interface ManualStep {
  readonly step: LabStep;
  readonly commands: readonly string[];
}

const kubectl = `kubectl --kubeconfig ${kubeconfigFile('admin')}`;

/** What begins every script: where it may run, and how programs and images come, from a cache or from their makers. */
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

const etcdctl = `${paths.bin}/etcdctl --endpoints=https://127.0.0.1:2379 --cacert=${certFile('etcd-ca')} --cert=${certFile('etcd-client')} --key=${keyFile('etcd-client')}`;

/** How a person sees that a step has done its work. */
const readinessCommands = ({ node, cni }: Lab): Readonly<Record<string, readonly string[]>> => ({
  etcd: [`${etcdctl} endpoint health`],
  'kube-apiserver': [`${kubectl} get --raw /readyz`, `${kubectl} get service kubernetes`],
  'kube-controller-manager': [`${kubectl} get serviceaccount default`],
  'kube-scheduler': [
    `openssl s_client -connect 127.0.0.1:10259 -CAfile ${certFile('ca')} -verify_return_error -brief </dev/null`,
  ],
  containerd: [`${paths.bin}/crictl version`],
  kubelet: [`${kubectl} get node ${node.name}`],
  'kube-proxy': ["sh -c 'iptables -t nat -S KUBE-SERVICES | grep default/kubernetes'"],
  network: [
    ...(cni === 'calico' ? [`${kubectl} -n kube-system rollout status daemonset calico-node --timeout=5s`] : []),
    `${kubectl} wait node ${node.name} --for=condition=Ready --timeout=5s`,
  ],
  coredns: [`${kubectl} -n kube-system rollout status deployment coredns --timeout=5s`],
  ingress: [`${kubectl} -n traefik rollout status deployment traefik --timeout=5s`],
  smoke:
    cni === 'calico'
      ? [`${kubectl} -n kube-system rollout status deployment calico-kube-controllers --timeout=5s`]
      : [],
});

const certificateCommands = async (lab: Lab): Promise<readonly string[]> => {
  const [requests, { notes }] = await Promise.all([requestsFor(lab), readLesson(certificates.id, 'en')]);
  return [
    `cd ${paths.certs}`,
    'umask 077',
    ...requests.flatMap((request) => [
      `# ${request.name}: ${noteOn(notes, request.name, lab).reason ?? ''}`,
      ...opensslCommands(request),
    ]),
    'rm -f -- *.cnf *.csr *.srl',
    'chmod 644 -- *.pem',
    'chmod 600 -- *-key.pem',
    'umask 022',
    'cd /',
  ];
};

const kubeconfigCommands = (identity: string): readonly string[] => {
  const file = kubeconfigFile(identity);
  const config = `kubectl --kubeconfig ${file} config`;
  return [
    `${config} set-cluster hardway --server=https://127.0.0.1:6443 --certificate-authority=${certFile('ca')} --embed-certs`,
    `${config} set-credentials ${identity} --client-certificate=${certFile(identity)} --client-key=${keyFile(identity)} --embed-certs`,
    `${config} set-context ${identity}@hardway --cluster=hardway --user=${identity}`,
    `${config} use-context ${identity}@hardway`,
    `chmod 600 ${file}`,
  ];
};

const placeCommand = ({ machine }: Lab, path: string): string => {
  const binary = path.slice(path.lastIndexOf('/') + 1);
  const { name, product } = productOf(binary);
  const cached = relative(paths.cache, binaryPath(paths.cache, machine.arch, name, product.version, binary));
  const [file] = plan([binary], machine.arch);
  const member = file?.binaries.get(binary);
  return `place ${path} ${cached} ${file?.url ?? "''"} ${file?.sha256 ?? "''"}${member ? ` ${member}` : ''}`;
};

/** What is not written as it is here: keys, and what holds one, are made anew; programs come from where they are. */
const scriptOverrides = (lab: Lab): ByHand => {
  let issued: Promise<readonly string[]> | undefined;
  const programs: readonly string[] = [...binaryNames, ...cniPlugins];
  return async (path) => {
    if (path.startsWith(`${paths.certs}/`)) {
      if (issued) return [];
      issued = certificateCommands(lab);
      return issued;
    }
    const identity = identities.find((one) => kubeconfigFile(one) === path);
    if (identity) return kubeconfigCommands(identity);
    if (path.endsWith('/.kube/config')) return [`install -m 600 ${kubeconfigFile('admin')} ${path}`];
    if (path === `${paths.config}/encryption.yaml`) {
      const text = ((await readIfThere(path)) ?? '').replaceAll(/secret: .*/g, 'secret: SECRET');
      return [
        ...heredoc(path, text),
        `chmod 600 ${path}`,
        `sed -i "s|SECRET|$(head -c 32 /dev/urandom | base64)|" ${path}`,
      ];
    }
    if (path.startsWith(`${paths.demo}/`)) return [];
    const inPlace = [paths.bin, '/opt/cni/bin', paths.links].some((folder) => path.startsWith(`${folder}/`));
    return inPlace && programs.includes(path.slice(path.lastIndexOf('/') + 1)) ? [placeCommand(lab, path)] : undefined;
  };
};

const imageCommands = (lab: Lab): readonly string[] =>
  [...imageReferences(lab), ...(lab.cni === 'calico' ? versions().calico.images : [])].map(
    (reference) => `image ${reference} ${relative(paths.cache, archivePath(paths.cache, lab.machine.arch, reference))}`,
  );

const objectCommands = async (step: LabStep, lab: Lab): Promise<readonly string[]> => {
  const objects = (await step.objects?.(readOnlyContext(lab))) ?? [];
  if (objects.length === 0) return [];
  const file = `${paths.config}/${step.id}-objects.yaml`;
  return [
    ...heredoc(file, objects.map((object) => `---\n${stringify(object, { lineWidth: 0 })}`).join('')),
    `waits ${kubectl} apply --server-side --field-manager=hardway --force-conflicts -f ${file}`,
  ];
};

/** Throws where lines would show a private key: better no transcript than such a one. */
export const assertNoPrivateKey = (lines: readonly string[]): void => {
  if (lines.some((line) => /PRIVATE KEY|client-key-data/.test(line)))
    throw new Error('the transcript would have shown a private key');
};

/** The steps that were applied to this machine, with the commands that do the same by hand. */
export const stepsByHand = async ({ lab, steps }: State): Promise<readonly ManualStep[]> => {
  const entries: readonly LedgerEntry[] = await readLedger(paths.ledger);
  const hand = scriptOverrides(lab);
  const found: ManualStep[] = [];
  for (const step of stepsWith(lab)) {
    if (!(step.id in steps)) continue;
    const commands = [
      ...(await commandsOf(
        entries.filter((entry) => entry.step === step.id),
        hand,
      )),
      ...(step.id === 'containerd' ? [`waits ${paths.bin}/crictl version`, ...imageCommands(lab)] : []),
      ...(await objectCommands(step, lab)),
      ...(readinessCommands(lab)[step.id] ?? []).map((proof) => `waits ${proof}`),
    ];
    assertNoPrivateKey(commands);
    found.push({ step, commands });
  }
  return found;
};
