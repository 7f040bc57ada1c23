import { matches } from '../../../lib/engine/leaves.ts';
import { run, tryRun } from '../../../lib/host/run.ts';
import {
  type Chain,
  chainsOf,
  type IptablesProgram,
  iptablesPrograms,
  letsAllPass,
  nft,
  rulesOf,
} from '../../../lib/host/snapshot/firewall.ts';
import { type Reset, wasThere } from './scope.ts';

/** Returns the comment of a rule, as iptables-save writes it. */
const commentOf = (rule: string): string => / --comment "?((?:\\.|[^"\\ ])*)/.exec(rule)?.[1] ?? '';

/** Returns the chain that a rule leads to; undefined where it leads to none by name. */
const targetOf = (rule: string): string | undefined =>
  / (?:-j|-g) (\S+)/.exec(rule.replaceAll(/"(\\.|[^"\\])*"/g, '""'))?.[1];

/** Tells which chains and rules are ours. */
export interface Ours {
  readonly chain: (chain: Chain) => boolean;
  /** Tells whether a rule in a chain of others was there before the first change. */
  readonly wasThere: (chain: Chain, rule: string) => boolean;
  /** Names of chains that daemons fill: a new rule that leads to one is theirs, also where the chain was there before. */
  readonly names: (name: string) => boolean;
  readonly comments: readonly RegExp[];
}

/**
 * Returns the lines for iptables-restore --noflush that remove our chains and nothing else: the new rules in chains of
 * others that lead to one of a daemon's names or have one of its comments, the new rules in chains of a daemon's name
 * that were there before, then our chains.
 */
export const removalOf = (chains: readonly Chain[], ours: Ours): readonly string[] => {
  const tables = [...new Set(chains.map(({ table }) => table))];
  return tables.flatMap((table) => {
    const here = chains.filter((chain) => chain.table === table);
    const going = new Set(here.filter(ours.chain).map(({ name }) => name));
    const rules = here
      .filter(({ name }) => !going.has(name))
      .flatMap((chain) =>
        chain.rules.filter((rule) => {
          const target = targetOf(rule) ?? '';
          if (going.has(target)) return true; // the chain could not be removed
          if (ours.wasThere(chain, rule)) return false;
          return ours.names(chain.name) || ours.names(target) || matches(ours.comments, commentOf(rule));
        }),
      );
    if (going.size === 0 && rules.length === 0) return [];
    return [
      `*${table}`,
      ...rules.map((rule) => rule.replace(/^-A/, '-D')),
      ...[...going].map((name) => `-F ${name}`),
      ...[...going].map((name) => `-X ${name}`),
      'COMMIT',
    ];
  });
};

const removeRulesOf = async (program: IptablesProgram, { undoer, before, plan }: Reset): Promise<void> => {
  const names = (name: string): boolean => matches(plan.leaves.chains, name) && !matches(plan.spared.chains, name);
  const keyOf = ({ table, name }: Chain): string => `${program} -t ${table} ${name}`;
  const lines = removalOf(await chainsOf(program), {
    chain: (chain) => chain.policy === '-' && names(chain.name) && !wasThere(before, 'iptables chain', keyOf(chain)),
    wasThere: (chain, rule) => rulesOf(before?.sections['iptables chain']?.[keyOf(chain)]).includes(rule),
    names,
    comments: plan.leaves.rules,
  });
  if (lines.length === 0) return;
  const count = lines.filter((line) => /^-[DX] /.test(line)).length;
  // Deletes rules one by one in one call: with --noflush it touches no other rule.
  await undoer.apply(`${program}: ${count}`, () =>
    run(`${program}-restore`, ['--noflush'], { input: `${lines.join('\n')}\n` }),
  );
};

/** Removes chains and the rules that lead to them. */
export const removeRules = async (scope: Reset): Promise<void> => {
  for (const program of iptablesPrograms) await removeRulesOf(program, scope);
};

/** Tables that iptables makes in nft. */
const iptablesTable = /^table (ip6?) (raw|mangle|nat|filter|security)$/;

/** Removes empty tables and built-in chains that iptables made in nft when it was first used. */
export const removeEmptyTables = async ({ undoer, before, plan }: Reset): Promise<void> => {
  if (plan.to !== undefined && plan.leaves.chains.length === 0) return;
  const all = Object.entries(await nft());
  for (const [table] of all.filter(([name]) => iptablesTable.test(name))) {
    const inside = all.filter(([name]) => name.startsWith(`${table} `));
    const empty = inside.filter(([name, text]) => letsAllPass(text) && !wasThere(before, 'nft', name));
    const where = table.replace('table ', '');
    const lines = empty.map(([name]) => `delete chain ${where} ${name.split(' ').at(-1)}`);
    if (empty.length === inside.length && !wasThere(before, 'nft', table)) lines.push(`delete ${table}`);
    if (lines.length === 0) continue;
    await undoer.apply(table, () => run('nft', ['--file', '-'], { input: `${lines.join('\n')}\n` }));
  }
};

/** Removes the nft tables of daemons; their iptables chains are removed elsewhere. */
export const removeNftTables = async ({ undoer, before, plan }: Reset): Promise<void> => {
  const { stdout } = await tryRun('nft', ['list', 'tables']);
  for (const [name, family = '', table = ''] of stdout.matchAll(/^table (\w+) (\S+)$/gm)) {
    if (!matches(plan.leaves.nftTables, table) || wasThere(before, 'nft', name)) continue;
    await undoer.apply(name, () => run('nft', ['delete', 'table', family, table]));
  }
};

/** Removes ipsets, once no rule uses them. */
export const removeIpsets = async ({ undoer, before, plan }: Reset): Promise<void> => {
  const { stdout } = await tryRun('ipset', ['list', '-name']);
  for (const name of stdout.split('\n')) {
    if (!matches(plan.leaves.ipsets, name) || wasThere(before, 'ipset', name)) continue;
    await undoer.apply(name, () => run('ipset', ['destroy', name]));
  }
};
