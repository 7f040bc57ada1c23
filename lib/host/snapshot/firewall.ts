import { tryRun } from '../run.ts';
import { type Section, section } from './section.ts';

/** Programs for the kernel's iptables; a machine has two of them, or all four. */
export const iptablesPrograms = ['iptables-nft', 'ip6tables-nft', 'iptables-legacy', 'ip6tables-legacy'] as const;
export type IptablesProgram = (typeof iptablesPrograms)[number];

/** A chain of a table, as iptables-save writes it. */
export interface Chain {
  readonly table: string;
  readonly name: string;
  /** ACCEPT or DROP for a built-in chain, `-` for any other. */
  readonly policy: string;
  /** Rules as typed after `iptables -t TABLE`: each begins with -A CHAIN. */
  readonly rules: readonly string[];
}

/** Lists all chains of all tables with one program; none where the program is missing. Listing loads no table. */
export const chainsOf = async (program: IptablesProgram): Promise<readonly Chain[]> => {
  const { stdout, code } = await tryRun(`${program}-save`);
  return code === 0 ? parseChains(stdout) : [];
};

/** Parses the output of iptables-save. */
export const parseChains = (text: string): readonly Chain[] => {
  const chains = new Map<string, { table: string; name: string; policy: string; rules: string[] }>();
  let table = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1);
    const [, name, policy] = /^:(\S+) (\S+)/.exec(line) ?? [];
    if (name && policy) chains.set(`${table} ${name}`, { table, name, policy, rules: [] });
    const owner = /^-A (\S+)/.exec(line)?.[1];
    if (owner) chains.get(`${table} ${owner}`)?.rules.push(line);
  }
  return [...chains.values()];
};

/**
 * Tells whether a chain is recorded: every one except a built-in chain that accepts everything, because merely listing
 * a table makes those.
 */
const matters = ({ policy, rules }: Chain): boolean => policy !== 'ACCEPT' || rules.length > 0;

/** Returns the rules of a chain as the section `iptables chain` recorded them; none for a chain that it has not. */
export const rulesOf = (recorded: string | undefined): readonly string[] =>
  (recorded ?? '')
    .replace(/^policy \w+; /, '')
    .split(/; (?=-A )/)
    .filter((rule) => rule.startsWith('-A '));

const iptables = async (): Promise<Section> => {
  const found = await Promise.all(
    iptablesPrograms.map(async (program) =>
      (await chainsOf(program))
        .filter(matters)
        .map(({ table, name, policy, rules }): [string, string] => [
          `${program} -t ${table} ${name}`,
          `${policy === '-' ? '' : `policy ${policy}; `}${rules.length === 0 ? 'no rules' : rules.join('; ')}`,
        ]),
    ),
  );
  return section(found.flat());
};

/** Tells whether an nft chain, as `nft` returns its text, only accepts everything. */
export const letsAllPass = (chain: string): boolean => /^type \w+ hook [^;]*; policy accept;$/.test(chain);

/** Lists every nft chain, map and set with its text, without counters and without the elements of sets. */
export const nft = async (): Promise<Section> => {
  const { stdout } = await tryRun('nft', ['--stateless', '--terse', 'list', 'ruleset']);
  const entries: [string, string][] = [];
  let table = '';
  for (const line of stdout.split('\n')) {
    const opened = /^\t?(table|chain|set|map|flowtable|counter|ct helper) (.*) \{$/.exec(line);
    if (opened?.[1] === 'table') {
      table = `table ${opened[2]}`;
      entries.push([table, 'is there']);
    } else if (opened) entries.push([`${table} ${opened[1]} ${opened[2]}`, '']);
    else if (line.startsWith('\t\t')) {
      const last = entries.at(-1);
      if (last) last[1] += `${last[1] ? '; ' : ''}${line.trim()}`;
    }
  }
  return section(entries);
};

/** Lists ipsets with their members, without members that time out. */
const ipsets = async (): Promise<Section> => {
  const { stdout } = await tryRun('ipset', ['save']);
  const sets = new Map<string, string[]>();
  for (const line of stdout.split('\n')) {
    const [word, name = '', ...rest] = line.split(' ');
    if (word === 'create') sets.set(name, [rest.join(' ')]);
    if (word === 'add' && !rest.includes('timeout')) sets.get(name)?.push(rest.join(' '));
  }
  return section([...sets].map(([name, [type = '', ...members]]) => [name, [type, ...members.sort()].join('; ')]));
};

/** Records iptables rules of both families and both kinds, nft rules and ipsets. */
export const firewall = async (): Promise<Record<string, Section>> => {
  const [chains, tables, sets] = await Promise.all([iptables(), nft(), ipsets()]);
  return { 'iptables chain': chains, nft: tables, ipset: sets };
};
