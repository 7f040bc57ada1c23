import { isInKernel } from '../modules.ts';
import { tryRun } from '../run.ts';
import { type Chain, chainsOf, type IptablesProgram } from '../snapshot/firewall.ts';

/** The rules for IPv4 on this machine, as its programs print them. */
export interface Firewall {
  /** The program that the command iptables is; undefined where it is missing. */
  readonly own: IptablesProgram | undefined;
  /** Chains of all tables, by the program that shows them. */
  readonly iptables: Readonly<Partial<Record<IptablesProgram, readonly Chain[]>>>;
  /** Objects of `nft --json list ruleset`; none where there is no nft. */
  readonly nft: readonly object[];
}

/**
 * Reads the rules of both kinds of iptables and of nft. A program that is missing shows none. Where nf_tables is not
 * loaded there are no rules in it: a look would load it, and the module would stay.
 */
export const readFirewall = async (): Promise<Firewall> => {
  const hasNft = await isInKernel('nf_tables');
  const [version, nft, legacy, { stdout, code }] = await Promise.all([
    tryRun('iptables', ['--version']),
    hasNft ? chainsOf('iptables-nft') : [],
    chainsOf('iptables-legacy'),
    hasNft ? tryRun('nft', ['--json', 'list', 'ruleset']) : { stdout: '', code: 0 },
  ]);
  const { nftables } = (code === 0 && stdout.trim() !== '' ? JSON.parse(stdout) : {}) as { nftables?: object[] };
  const own = version.stdout.includes('nf_tables') ? 'iptables-nft' : 'iptables-legacy';
  const iptables = { 'iptables-nft': nft, 'iptables-legacy': legacy };
  return { own: version.code === 0 ? own : undefined, iptables, nft: nftables ?? [] };
};
