import { tryRun } from '../run.ts';
import { type Section, section } from './section.ts';

/** The four programs that speak to the kernel's iptables; a machine has two, or all of them. */
export const iptablesPrograms = ['iptables-nft', 'ip6tables-nft', 'iptables-legacy', 'ip6tables-legacy'] as const;
export type IptablesProgram = (typeof iptablesPrograms)[number];

/** A chain of a table as iptables-save writes it. */
export interface Chain {
  readonly table: string;
  readonly name: string;
  /** ACCEPT or DROP of a built-in chain; `-` of one that somebody made. */
  readonly policy: string;
  /** As they would be typed after `iptables -t TABLE`, each beginning with -A CHAIN. */
  readonly rules: readonly string[];
}

/** All chains of all tables that a program knows; none where the program is not there. No table is loaded by asking. */
export const chainsOf = async (program: IptablesProgram): Promise<readonly Chain[]> => {
  const { stdout, code } = await tryRun(`${program}-save`);
  return code === 0 ? parseChains(stdout) : [];
};

/** Reads what iptables-save writes. */
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

/** A built-in chain that lets everything through is as good as none: asking for a table makes them. */
const matters = ({ policy, rules }: Chain): boolean => policy !== 'ACCEPT' || rules.length > 0;

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

/** Whether the text of an nft chain, as `nft` has it, says only that everything passes. */
export const letsAllPass = (chain: string): boolean => /^type \w+ hook [^;]*; policy accept;$/.test(chain);

/** Every nft chain, map and set with its text, without counters and without what is in a set. */
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

/** ipsets with what is in them; of one whose members time out only that it is there. */
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

/** iptables rules of both families and both kinds, nft rules, ipsets. */
export const firewall = async (): Promise<Record<string, Section>> => {
  const [chains, tables, sets] = await Promise.all([iptables(), nft(), ipsets()]);
  return { 'iptables chain': chains, nft: tables, ipset: sets };
};
