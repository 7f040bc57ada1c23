import { run, tryRun } from '../../../lib/host/run.ts';
import {
  type Chain,
  chainsOf,
  type IptablesProgram,
  iptablesPrograms,
  letsAllPass,
  nft,
} from '../../../lib/host/snapshot/firewall.ts';
import { type CleanupScope, wasThere } from './scope.ts';

const kubeletChains = ['KUBE-KUBELET-CANARY', 'KUBE-FIREWALL', 'KUBE-IPTABLES-HINT'];

/** What takes our chains out of a table and nothing else, as lines for iptables-restore --noflush. */
export const removalOf = (chains: readonly Chain[], isOurs: (chain: Chain) => boolean): readonly string[] => {
  const tables = [...new Set(chains.map(({ table }) => table))];
  return tables.flatMap((table) => {
    const here = chains.filter((chain) => chain.table === table);
    const ours = new Set(here.filter(isOurs).map(({ name }) => name));
    // Calico also has rules that lead to no chain of its own; they go with its chains.
    const calicoRule = [...ours].some((name) => name.startsWith('cali-')) ? / --comment "cali:[^"]{16}"/ : undefined;
    const rules = here
      .filter(({ name }) => !ours.has(name))
      .flatMap((chain) => chain.rules)
      .filter((rule) => {
        const target = / (?:-j|-g) (\S+)/.exec(rule.replaceAll(/"(\\.|[^"\\])*"/g, '""'))?.[1];
        return (target !== undefined && ours.has(target)) || calicoRule?.test(rule);
      });
    if (ours.size === 0 && rules.length === 0) return [];
    return [
      `*${table}`,
      ...rules.map((rule) => rule.replace(/^-A/, '-D')),
      ...[...ours].map((name) => `-F ${name}`),
      ...[...ours].map((name) => `-X ${name}`),
      'COMMIT',
    ];
  });
};

/** The step with whose daemon a chain goes; undefined for one that is not ours. */
const ownerOf = (chain: string): string | undefined => {
  if (kubeletChains.includes(chain)) return 'kubelet';
  if (chain.startsWith('KUBE-')) return 'kube-proxy';
  return /^(cali|CNI)-/.test(chain) ? 'network' : undefined;
};

const removeRulesOf = async (program: IptablesProgram, { gate, before, undone }: CleanupScope): Promise<void> => {
  const isOurs = ({ table, name, policy }: Chain): boolean =>
    policy === '-' &&
    undone.includes(ownerOf(name) ?? '') &&
    !wasThere(before, 'iptables chain', `${program} -t ${table} ${name}`);
  const lines = removalOf(await chainsOf(program), isOurs);
  if (lines.length === 0) return;
  const count = lines.filter((line) => /^-[DX] /.test(line)).length;
  // One by one, but in one call: with --noflush it does what the lines say and touches no other rule.
  await gate.apply('rules and chains removed', `${program}: ${count}`, () =>
    run(`${program}-restore`, ['--noflush'], { input: `${lines.join('\n')}\n` }),
  );
};

export const removeRules = async (aftermath: CleanupScope): Promise<void> => {
  for (const program of iptablesPrograms) await removeRulesOf(program, aftermath);
};

/** The tables that iptables makes in nft. */
const iptablesTable = /^table (ip6?) (raw|mangle|nat|filter|security)$/;

/** Tables and built-in chains that iptables made in nft when it was first asked, once nothing is left in them. */
export const removeEmptyTables = async ({ gate, before }: CleanupScope): Promise<void> => {
  if (gate.dryRun) return; // nothing is empty yet
  const all = Object.entries(await nft());
  for (const [table] of all.filter(([name]) => iptablesTable.test(name))) {
    const inside = all.filter(([name]) => name.startsWith(`${table} `));
    const empty = inside.filter(([name, text]) => letsAllPass(text) && !wasThere(before, 'nft', name));
    const where = table.replace('table ', '');
    const lines = empty.map(([name]) => `delete chain ${where} ${name.split(' ').at(-1)}`);
    if (empty.length === inside.length && !wasThere(before, 'nft', table)) lines.push(`delete ${table}`);
    if (lines.length === 0) continue;
    await gate.apply('empty nft tables and chains removed', table, () =>
      run('nft', ['--file', '-'], { input: `${lines.join('\n')}\n` }),
    );
  }
};

/** The tables that Calico has in nft beside its chains in those of iptables: against forged ARP answers, for one. */
export const removeCalicoTables = async ({ gate, before }: CleanupScope): Promise<void> => {
  const { stdout } = await tryRun('nft', ['list', 'tables']);
  for (const [name, family = '', table = ''] of stdout.matchAll(/^table (\w+) (calico(?:-arp)?)$/gm)) {
    if (wasThere(before, 'nft', name)) continue;
    await gate.apply('nft tables of Calico removed', name, () => run('nft', ['delete', 'table', family, table]));
  }
};

export const removeIpsets = async ({ gate, before }: CleanupScope): Promise<void> => {
  const { stdout } = await tryRun('ipset', ['list', '-name']);
  for (const name of stdout.split('\n')) {
    if (!/^(cali[46]0|KUBE-)/.test(name) || wasThere(before, 'ipset', name)) continue;
    await gate.apply('ipsets removed', name, () => run('ipset', ['destroy', name]));
  }
};
