import { allLeaves, type Leaves, matches } from '../../lib/engine/leaves.ts';
import type { Step } from '../../lib/engine/step.ts';
import type { Belongings } from '../../lib/host/facts/foreign.ts';
import { paths, system } from '../../lib/host/paths.ts';
import { quoted } from '../../lib/host/run.ts';

/** A reason why this machine is not fit, with its remedy. */
export interface Finding {
  readonly problem: string;
  readonly hint: string;
}

/** Lists up to five names, and how many there are besides. */
const listed = (names: readonly string[]): string =>
  names.length > 5 ? `${names.slice(0, 4).join(', ')} and ${names.length - 4} more` : names.join(', ');

/** Returns the part of a chain's name that all of its kind have: KUBE- of KUBE-SERVICES. */
const prefixOf = (name: string): string => /^[A-Za-z]+-/.exec(name)?.[0] ?? name;

const ofLinks = ({ links }: Belongings, { bridges, links: patterns }: Leaves): readonly Finding[] =>
  links
    .filter(({ name }) => bridges.includes(name) || matches(patterns, name))
    .map(({ name, addresses }) => ({
      problem: `the network interface ${name}${addresses.length > 0 ? ` (${addresses.join(', ')})` : ''} of another Kubernetes is here`,
      hint: `ip link delete ${name}`,
    }));

/** A comment in a rule, as iptables-save writes it. */
const commentOf = (rule: string): string => /--comment "?((?:\\.|[^"\\ ])*)/.exec(rule)?.[1] ?? '';

const ofChains = ({ chains }: Belongings, { chains: patterns, rules }: Leaves): readonly Finding[] =>
  [...new Set(chains.map(({ program }) => program))].flatMap((program) => {
    const here = chains.filter((chain) => chain.program === program);
    const names = [...new Set(here.map(({ name }) => name).filter((name) => matches(patterns, name)))];
    const marks = here.flatMap(({ rules: all }) => all.map(commentOf)).filter((comment) => matches(rules, comment));
    if (names.length === 0 && marks.length === 0) return [];
    const words = [...new Set([...names, ...marks].map((name) => (name.includes('-') ? prefixOf(name) : name)))];
    return {
      problem: `chains of another Kubernetes are in ${program}: ${listed(names.length > 0 ? names : marks)}`,
      hint: `${program}-save | grep -v ${words.map((word) => `-e ${quoted([word])}`).join(' ')} | ${program}-restore`,
    };
  });

const ofNftTables = ({ nftTables }: Belongings, { nftTables: patterns }: Leaves): readonly Finding[] =>
  nftTables
    .filter(({ name }) => matches(patterns, name))
    .map(({ family, name }) => ({
      problem: `the nft table ${family} ${name} of another Kubernetes is here`,
      hint: `nft delete table ${family} ${name}`,
    }));

const ofIpsets = ({ ipsets }: Belongings, { ipsets: patterns }: Leaves): readonly Finding[] => {
  const names = ipsets.filter((name) => matches(patterns, name));
  if (names.length === 0) return [];
  return [
    {
      problem: `ipsets of another Kubernetes are here: ${listed(names)}`,
      hint: `for set in ${names.join(' ')}; do ipset destroy $set; done`,
    },
  ];
};

const ofContents = ({ contents }: Belongings): readonly Finding[] =>
  contents.map(({ path, first, more, entries }) => {
    const files = `${first.join(', ')}${more ? ', ...' : ''}`;
    const whose = path === system.cniConfig ? 'a network of other containers is set up in' : 'data of others are in';
    return {
      problem: `${whose} ${path}: ${files}`,
      // To a folder of its own: several places have entries of the same name.
      hint: `move them away, as with: mkdir -p ${quoted([`/root/before${path}`])} && mv ${entries.length > 3 ? `${quoted([path])}/*` : quoted(entries)} ${quoted([`/root/before${path}/`])}`,
    };
  });

const ofUnitFiles = ({ unitFiles }: Belongings): readonly Finding[] =>
  unitFiles.map((file) => {
    if (file.includes('.service.d/'))
      return { problem: `${file} changes a component of ours`, hint: `rm ${file} && systemctl daemon-reload` };
    const unit = file.slice(file.lastIndexOf('/') + 1);
    const gone = file.startsWith(`${paths.units}/`) ? `rm ${file}` : `dpkg -S ${file} names the package to remove`;
    return {
      problem: `another Kubernetes, containerd or etcd is here: the unit ${file}`,
      hint: `systemctl disable --now ${unit}; ${gone}; systemctl daemon-reload`,
    };
  });

/**
 * Finds what a daemon of ours would take for its own, rewrite and lose, on a machine without a lab; and other runtimes.
 * Each finding names the very thing, and the command that removes it.
 */
export const leftovers = (found: Belongings, steps: readonly Pick<Step, 'leaves'>[]): readonly Finding[] => {
  const leaves = allLeaves(steps.map((step) => step.leaves));
  return [ofUnitFiles, ofContents, ofLinks, ofChains, ofNftTables, ofIpsets].flatMap((rule) => rule(found, leaves));
};
