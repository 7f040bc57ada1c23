import { readdir, realpath } from 'node:fs/promises';
import { readIfThere, statIfThere } from '../files.ts';
import { isInKernel } from '../modules.ts';
import { ipJson } from '../net.ts';
import { paths, system } from '../paths.ts';
import { tryRun } from '../run.ts';
import { type Chain, chainsOf, type IptablesProgram, iptablesPrograms } from '../snapshot/firewall.ts';

/** A file or folder that somebody's data may be in, and the first files in it. */
export interface Content {
  readonly path: string;
  /** At most three; folders where there are no files. */
  readonly first: readonly string[];
  /** True if there are more. */
  readonly more: boolean;
  /** All that is directly in it, with its path; of a file the file. */
  readonly entries: readonly string[];
}

/** Everything on a machine by whose name or place a Kubernetes knows its own, whoever made it. */
export interface Belongings {
  readonly links: readonly { readonly name: string; readonly addresses: readonly string[] }[];
  /** iptables chains that are not built in, of both families and both kinds. */
  readonly chains: readonly (Chain & { readonly program: IptablesProgram })[];
  readonly nftTables: readonly { readonly family: string; readonly name: string }[];
  readonly ipsets: readonly string[];
  readonly contents: readonly Content[];
  /** Units, and files that change the units of our names, unless they start a program of ours. */
  readonly unitFiles: readonly string[];
}

/** Names to look for. */
export interface Wanted {
  /** Names of our units, which get a name's drop-ins too. */
  readonly units: readonly string[];
  /** Files and folders that our daemons fill. */
  readonly paths: readonly string[];
}

/** Units and folders of other Kubernetes and container runtimes. */
const foreignUnits = [
  'docker',
  'crio',
  'k3s',
  'k3s-agent',
  'rke2-server',
  'k0scontroller',
  'snap.microk8s.daemon-kubelite',
];
const foreignFolders = [
  '/etc/kubernetes',
  '/var/lib/etcd',
  '/var/lib/rancher',
  '/var/lib/k0s',
  '/var/snap/microk8s',
  system.cniConfig,
];

const usualUnitFolders = [
  '/etc/systemd/system',
  '/run/systemd/system',
  '/lib/systemd/system',
  '/usr/lib/systemd/system',
];

/** Lists the folders that systemd reads units from, each once. */
const unitFolders = async (): Promise<readonly string[]> => {
  const { stdout } = await tryRun('systemctl', ['show', '--property=UnitPath', '--value']);
  const folders = stdout.split(/\s+/).filter((folder) => folder.startsWith('/'));
  const real = await Promise.all(
    (folders.length > 0 ? folders : usualUnitFolders).map((folder) => realpath(folder).catch(() => [])),
  );
  return [...new Set(real.flat())];
};

/** Names of the folders whose files change a unit: NAME.service.d, and a-.service.d for a-b (systemd.unit(5)). */
const dropInFolders = (unit: string): readonly string[] => {
  const words = unit.split('-');
  return words.map((_, index) =>
    index + 1 === words.length ? `${unit}.service.d` : `${words.slice(0, index + 1).join('-')}-.service.d`,
  );
};

const unitFilesOf = async (folder: string, unit: string, dropIns: readonly string[]): Promise<readonly string[]> => {
  const file = `${folder}/${unit}.service`;
  // A unit that is masked is a link to /dev/null: it starts nothing, and nothing of ours.
  const text = (await statIfThere(file)) && ((await readIfThere(file).catch(() => '')) ?? '');
  const changes = await Promise.all(
    dropIns.map(async (name) => {
      const files = await readdir(`${folder}/${name}`).catch(() => []);
      return files.filter((one) => one.endsWith('.conf')).map((one) => `${folder}/${name}/${one}`);
    }),
  );
  return [...(text === undefined || text.includes(paths.bin) ? [] : [file]), ...changes.flat()];
};

const unitFiles = async (ours: readonly string[]): Promise<readonly string[]> => {
  const units = [
    ...ours.map((unit) => ({ unit, dropIns: dropInFolders(unit) })),
    ...foreignUnits.map((unit) => ({ unit, dropIns: [] })),
  ];
  const found = await Promise.all(
    (await unitFolders()).flatMap((folder) => units.map(({ unit, dropIns }) => unitFilesOf(folder, unit, dropIns))),
  );
  return [...new Set(found.flat())];
};

const most = 3;

/** Lists what is in a folder; nothing where it is none. Every disk has lost+found. */
const entriesOf = async (folder: string) =>
  (await readdir(folder, { withFileTypes: true }).catch(() => [])).filter(({ name }) => name !== 'lost+found');

/** Finds the first files below a folder, level by level, without looking at every folder of a large tree. */
const filesBelow = async (folder: string): Promise<readonly string[]> => {
  const files: string[] = [];
  const folders = [folder];
  for (let visited = 0; visited < 100 && files.length <= most; visited += 1) {
    const next = folders.shift();
    if (next === undefined) break;
    for (const entry of await entriesOf(next)) (entry.isDirectory() ? folders : files).push(`${next}/${entry.name}`);
  }
  return files;
};

/** Finds the first files at and below a path, and the first folders where there are no files. */
export const contentOf = async (path: string): Promise<Content | undefined> => {
  const stat = await statIfThere(path);
  if (stat?.isFile()) return { path, first: [path], more: false, entries: [path] };
  const top = await entriesOf(path);
  if (top.length === 0) return undefined;
  const files = await filesBelow(path);
  const entries = top.map(({ name }) => `${path}/${name}`).sort();
  const found = files.length > 0 ? files : entries;
  return { path, first: found.toSorted().slice(0, most), more: found.length > most, entries };
};

const chains = async (): Promise<Belongings['chains']> => {
  // Where nf_tables is not loaded there are no rules in it; a look would load it, and the module would stay.
  const nft = await isInKernel('nf_tables');
  const programs = iptablesPrograms.filter((program) => nft || !program.endsWith('-nft'));
  const found = await Promise.all(
    programs.map(async (program) =>
      (await chainsOf(program)).filter(({ policy }) => policy === '-').map((chain) => ({ ...chain, program })),
    ),
  );
  return found.flat();
};

const nftTables = async (): Promise<Belongings['nftTables']> => {
  const { stdout } = (await isInKernel('nf_tables')) ? await tryRun('nft', ['list', 'tables']) : { stdout: '' };
  return [...stdout.matchAll(/^table (\S+) (\S+)$/gm)].map(([, family = '', name = '']) => ({ family, name }));
};

const ipsets = async (): Promise<readonly string[]> => {
  const { stdout } = (await isInKernel('ip_set')) ? await tryRun('ipset', ['list', '-name']) : { stdout: '' };
  return stdout.split('\n').filter(Boolean);
};

interface Link {
  readonly ifname: string;
  readonly addr_info?: readonly { readonly local: string; readonly prefixlen: number; readonly scope: string }[];
}

const links = async (): Promise<Belongings['links']> =>
  (await ipJson<Link>('addr', 'show')).map(({ ifname, addr_info = [] }) => ({
    name: ifname,
    addresses: addr_info
      .filter(({ scope }) => scope === 'global')
      .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
  }));

/** Looks for what a Kubernetes, a container runtime or an etcd leaves, ours or others'. Changes nothing and loads no module. */
export const belongings = async (wanted: Wanted): Promise<Belongings> => {
  const all = [...new Set([...foreignFolders, ...wanted.paths])];
  const places = all.filter((path) => !all.some((folder) => path.startsWith(`${folder}/`)));
  const [linksFound, chainsFound, nftFound, setsFound, contents, unitsFound] = await Promise.all([
    links(),
    chains(),
    nftTables(),
    ipsets(),
    Promise.all(places.map(contentOf)),
    unitFiles(wanted.units),
  ]);
  return {
    links: linksFound,
    chains: chainsFound,
    nftTables: nftFound,
    ipsets: setsFound,
    contents: contents.flatMap((content) => content ?? []),
    unitFiles: unitsFound,
  };
};
