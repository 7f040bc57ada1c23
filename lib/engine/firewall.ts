import type { Firewall } from '../host/facts/firewall.ts';
import type { Chain as IptablesChain } from '../host/snapshot/firewall.ts';
import { overlap } from './networks.ts';

/** A packet that begins a connection, as the rules of a firewall see it. */
export interface Packet {
  readonly hook: 'input' | 'forward';
  readonly in: string;
  readonly out?: string;
  /** Networks: a rule speaks of the packet when it speaks of all of the network. */
  readonly from: string;
  readonly to: string;
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
}

/** Tells whether a rule speaks of a packet; undefined where that cannot be told from its text. */
type Match = (packet: Packet) => boolean | undefined;

type Verdict =
  | { readonly is: 'accept' | 'reject' | 'return' | 'unclear' }
  | { readonly is: 'jump' | 'goto'; readonly chain: string };

interface Rule {
  readonly match: Match;
  /** Absent in a rule that only counts, logs or marks. */
  readonly verdict?: Verdict;
  readonly text: string;
}

/** A chain of iptables or nft. */
export interface FirewallChain {
  /** What has it: the program iptables-nft or iptables-legacy, or the family and name of an nft table. */
  readonly owner: string;
  readonly name: string;
  /** In a chain that the kernel calls: for which packets, and what becomes of one that no rule decides about. */
  readonly base?: { readonly hook: string; readonly drops: boolean };
  readonly rules: readonly Rule[];
}

/** A chain that rejects a packet, and the rule, or `policy DROP`, that does it. */
export interface Refusal {
  readonly owner: string;
  readonly chain: string;
  readonly rule: string;
}

/** Returns true when every condition is met, false when one is not, undefined when that cannot be told. */
const all =
  (matches: readonly Match[]): Match =>
  (packet) => {
    const found = matches.map((match) => match(packet));
    return found.includes(false) ? false : found.includes(undefined) ? undefined : true;
  };

const unknown: Match = () => undefined;
const always: Match = () => true;
const not =
  (match: Match): Match =>
  (packet) => {
    const found = match(packet);
    return found === undefined ? undefined : !found;
  };

const within = (one: string, other: string): boolean =>
  overlap(one, other) && Number(one.split('/')[1]) >= Number(other.split('/')[1]);

/** Matches a network of the packet with one of a rule. */
const inNetwork =
  (side: 'from' | 'to', network: string): Match =>
  (packet) => {
    const cidr = network.includes('/') ? network : `${network}/32`;
    if (!/^[\d.]+\/\d+$/.test(cidr)) return undefined;
    return within(packet[side], cidr) ? true : overlap(packet[side], cidr) ? undefined : false;
  };

/** Matches an interface; `ending` stands at the end of a name for all that begin with it. */
const onInterface =
  (side: 'in' | 'out', name: string, ending: '+' | '*'): Match =>
  (packet) => {
    const found = packet[side];
    if (found === undefined) return false;
    return name.endsWith(ending) ? found.startsWith(name.slice(0, -1)) : found === name;
  };

/** Matches states of a connection: the packet is the first of one, to the address of a Service (DNAT). */
const inState =
  (states: readonly string[]): Match =>
  () =>
    states.some((state) => ['new', 'dnat'].includes(state.toLowerCase()));

const toPort =
  (ranges: readonly string[], separator: ':' | '-'): Match =>
  ({ port }) => {
    const bounds = ranges.map((range) => range.split(separator).map(Number));
    if (bounds.flat().some(Number.isNaN)) return undefined;
    return bounds.some(([first = 0, last = first]) => port >= first && port <= last);
  };

const ofProtocol =
  (protocols: readonly string[]): Match =>
  ({ protocol }) =>
    protocols.some((one) => ['all', '0', protocol, protocol === 'tcp' ? '6' : '17'].includes(one));

/** Options of a rule of iptables-save that take a value, to what they match. */
const options: Readonly<Record<string, (value: string) => Match>> = {
  '-s': (value) => inNetwork('from', value),
  '-d': (value) => inNetwork('to', value),
  '-i': (value) => onInterface('in', value, '+'),
  '-o': (value) => onInterface('out', value, '+'),
  '-p': (value) => ofProtocol([value]),
  '--dport': (value) => toPort([value], ':'),
  '--dports': (value) => toPort(value.split(','), ':'),
  '--state': (value) => inState(value.split(',')),
  '--ctstate': (value) => inState(value.split(',')),
  '--comment': () => always,
  '-m': () => always, // names the module of the options that follow
};

const targets: Readonly<Record<string, Verdict>> = {
  ACCEPT: { is: 'accept' },
  DROP: { is: 'reject' },
  REJECT: { is: 'reject' },
  RETURN: { is: 'return' },
};

/** Targets after which the next rule is asked. */
const idleTargets = ['LOG', 'NFLOG', 'ULOG', 'MARK', 'CONNMARK', 'CT', 'TCPMSS', 'SET', 'AUDIT', 'TRACE'];

const iptablesVerdict = (target: string | undefined, flag: string | undefined, chains: ReadonlySet<string>) => {
  if (target === undefined || idleTargets.includes(target)) return undefined;
  if (chains.has(target)) return { is: flag === '-g' ? 'goto' : 'jump', chain: target } as const;
  return targets[target] ?? ({ is: 'unclear' } as const);
};

/** Parses a rule as iptables-save writes it: -A CHAIN, what it matches, -j TARGET and the target's own options. */
const iptablesRule = (text: string, chains: ReadonlySet<string>): Rule => {
  const words = text.match(/"(?:\\.|[^"\\])*"|\S+/g)?.slice(2) ?? [];
  const at = words.findIndex((word) => word === '-j' || word === '-g');
  const target = at < 0 ? undefined : words[at + 1];
  const matches: Match[] = [];
  const conditions = [...(at < 0 ? words : words.slice(0, at))];
  while (conditions.length > 0) {
    const word = conditions.shift();
    const negated = word === '!';
    const match = options[(negated ? conditions.shift() : word) ?? '']?.(conditions.shift() ?? '') ?? unknown;
    matches.push(negated ? not(match) : match);
  }
  const verdict = iptablesVerdict(target, words[at], chains);
  return { match: all(matches), text, ...(verdict && { verdict }) };
};

/** Converts the table `filter` of one program. */
export const iptablesChains = (program: string, chains: readonly IptablesChain[]): readonly FirewallChain[] => {
  const own = chains.filter(({ table }) => table === 'filter');
  const names = new Set(own.map(({ name }) => name));
  return own.map(({ name, policy, rules }) => ({
    owner: program,
    name,
    ...(policy !== '-' && { base: { hook: name.toLowerCase(), drops: policy === 'DROP' } }),
    rules: rules.map((text) => iptablesRule(text, names)),
  }));
};

type Json = Readonly<Record<string, unknown>>;

/** The parts of a match in `nft --json` (libnftables-json(5)). */
interface NftKey {
  readonly meta?: { readonly key: string };
  readonly payload?: { readonly protocol?: string; readonly field?: string };
  readonly ct?: { readonly key: string };
}

/** Returns the values on the right side of a match as text: a value, a list, a set, a prefix, a range. */
const valuesOf = (right: unknown): readonly string[] => {
  if (Array.isArray(right)) return right.flatMap(valuesOf);
  if (typeof right !== 'object' || right === null) return [String(right)];
  const { set, prefix, range } = right as { set?: unknown; prefix?: { addr: string; len: number }; range?: unknown[] };
  if (prefix) return [`${prefix.addr}/${prefix.len}`];
  return range ? [range.join('-')] : valuesOf(set ?? []);
};

const any =
  (matches: readonly Match[]): Match =>
  (packet) => {
    const found = matches.map((match) => match(packet));
    return found.includes(true) ? true : found.includes(undefined) ? undefined : false;
  };

/** What is matched with values, by `nft`'s name of it. */
const nftKeys: Readonly<Record<string, (values: readonly string[]) => Match>> = {
  iifname: (values) => any(values.map((value) => onInterface('in', value, '*'))),
  iif: (values) => any(values.map((value) => onInterface('in', value, '*'))),
  oifname: (values) => any(values.map((value) => onInterface('out', value, '*'))),
  oif: (values) => any(values.map((value) => onInterface('out', value, '*'))),
  'ip saddr': (values) => any(values.map((value) => inNetwork('from', value))),
  'ip daddr': (values) => any(values.map((value) => inNetwork('to', value))),
  'ip protocol': ofProtocol,
  l4proto: ofProtocol,
  nfproto: (values) => () => values.includes('ipv4'),
  protocol: (values) => () => values.includes('ip'),
  'tcp dport': (values) => toPort(values, '-'),
  'udp dport': (values) => toPort(values, '-'),
  'th dport': (values) => toPort(values, '-'),
  'ct state': inState,
  'ct status': inState,
};

const nftMatch = (key: NftKey, right: unknown, op = '=='): Match => {
  const { protocol = '', field = '' } = key.payload ?? {};
  if (['ip6', 'icmp', 'icmpv6'].includes(protocol)) return () => false;
  const name = key.meta?.key ?? (key.ct ? `ct ${key.ct.key}` : `${protocol} ${field}`);
  const values = valuesOf(right);
  const isNamedSet = values.some((value) => value.startsWith('@'));
  const found = (!isNamedSet && ['==', 'in', '!='].includes(op) && nftKeys[name]?.(values)) || unknown;
  // A field of TCP is matched, or not, in packets of TCP only.
  const carrier = ['tcp', 'udp'].includes(protocol) ? ofProtocol([protocol]) : always;
  return all([carrier, op === '!=' ? not(found) : found]);
};

const nftVerdicts: Readonly<Record<string, Verdict>> = {
  accept: { is: 'accept' },
  drop: { is: 'reject' },
  reject: { is: 'reject' },
  return: { is: 'return' },
  queue: { is: 'unclear' },
};

const nftVerdict = (statement: Json): Verdict | undefined => {
  const [name = '', value] = Object.entries(statement)[0] ?? [];
  if (name === 'jump' || name === 'goto') return { is: name, chain: (value as { target: string }).target };
  return nftVerdicts[name];
};

/** Statements of nft that decide nothing. */
const idle = ['counter', 'log', 'mangle', 'notrack', 'ct helper', 'flow'];

interface VerdictMap {
  readonly key: NftKey;
  readonly data: { readonly set?: readonly [value: unknown, verdict: Json][] };
}

/** Returns what a statement that is no verdict asks of a packet. */
const condition = (statement: Json): Match => {
  const { match } = statement as { match?: { op: string; left: NftKey; right: unknown } };
  if (match) return nftMatch(match.left, match.right, match.op);
  return idle.some((name) => name in statement) ? always : unknown;
};

/** Returns the verdicts of a statement, each with what it asks of a packet: a verdict map has several. */
const verdictsOf = (statement: Json): readonly Omit<Rule, 'text'>[] => {
  const { vmap } = statement as { vmap?: VerdictMap };
  const entries = vmap
    ? (vmap.data.set ?? []).map(([value, then]) => ({ match: nftMatch(vmap.key, value), verdict: nftVerdict(then) }))
    : [{ match: always, verdict: nftVerdict(statement) }];
  return entries.flatMap(({ match, verdict }) => (verdict ? [{ match, verdict }] : []));
};

/** Converts the statements of an nft rule; none where it decides nothing. */
const nftRules = (statements: readonly Json[], text: string): readonly Rule[] => {
  const at = statements.findIndex((statement) => verdictsOf(statement).length > 0);
  const conditions = statements.slice(0, Math.max(at, 0)).map(condition);
  return verdictsOf(statements[at] ?? {}).map(({ match, verdict }) => ({
    match: all([...conditions, match]),
    text,
    ...(verdict && { verdict }),
  }));
};

interface NftChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook?: string;
  readonly policy?: string;
}
interface NftRule {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly expr: readonly Json[];
}

/** Tells whether iptables-nft made a chain: iptables shows it too, and better. */
const isOfIptables = ({ family, name }: NftChain): boolean =>
  family === 'ip' && ['INPUT', 'FORWARD', 'OUTPUT'].includes(name);

/** Converts the chains of nft that see IPv4; those of iptables are left out. */
export const nftChains = (objects: readonly object[]): readonly FirewallChain[] => {
  const found = objects as readonly { chain?: NftChain; rule?: NftRule }[];
  const chains = found.flatMap(({ chain }) => chain ?? []).filter(({ family }) => ['ip', 'inet'].includes(family));
  return chains.map((chain) => {
    const rules = found.flatMap(({ rule }) =>
      rule?.family === chain.family && rule.table === chain.table && rule.chain === chain.name ? [rule] : [],
    );
    return {
      owner: `${chain.family} ${chain.table}`,
      name: chain.name,
      ...(chain.hook && !isOfIptables(chain) && { base: { hook: chain.hook, drops: chain.policy === 'drop' } }),
      rules: rules.flatMap(({ expr }, index) => nftRules(expr, `rule ${index + 1} of ${rules.length}`)),
    };
  });
};

/** What a rule or a chain does with a packet; `through` leaves it to what follows. */
type Outcome = 'through' | 'return' | 'accept' | 'unclear' | Refusal;

/** Chains call one another no deeper than this; the kernel refuses circles. */
const deepest = 16;

/** Returns what becomes of a packet that a rule speaks of. */
const decide = (verdict: Verdict, rule: Refusal, packet: Packet, known: Chains): Outcome => {
  if (verdict.is === 'reject') return rule;
  if (verdict.is !== 'jump' && verdict.is !== 'goto') return verdict.is;
  const chain = known.chains.find(({ owner, name }) => owner === rule.owner && name === verdict.chain);
  if (!chain || known.depth > deepest) return 'unclear';
  const outcome = follow(chain, packet, { ...known, depth: known.depth + 1 });
  return outcome === 'through' && verdict.is === 'goto' ? 'return' : outcome;
};

interface Chains {
  readonly chains: readonly FirewallChain[];
  readonly depth: number;
}

/** Follows a packet through a chain. A rule of which it cannot be told whether it matches may have let it pass. */
const follow = (chain: FirewallChain, packet: Packet, known: Chains): Outcome => {
  for (const { match, verdict, text } of chain.rules) {
    const matches = match(packet);
    if (matches === false || !verdict) continue;
    const outcome = decide(verdict, { owner: chain.owner, chain: chain.name, rule: text }, packet, known);
    if (outcome === 'through') continue;
    if (matches) return outcome === 'return' ? 'through' : outcome;
    if (typeof outcome === 'string') return 'unclear';
  }
  return 'through';
};

/** Returns the chains that surely reject the packet, each with its rule: in doubt it passes. */
export const refusals = (chains: readonly FirewallChain[], packet: Packet): readonly Refusal[] =>
  chains
    .filter(({ base }) => base?.hook === packet.hook)
    .flatMap((chain) => {
      const outcome = follow(chain, packet, { chains, depth: 0 });
      if (outcome === 'through' && chain.base?.drops)
        return [{ owner: chain.owner, chain: chain.name, rule: 'policy DROP' }];
      return typeof outcome === 'string' ? [] : [outcome];
    });

/** Where the Pods of a lab are, and what makes room for them in the firewall by itself. */
export interface PodNetwork {
  readonly podCIDR: string;
  /** Address of the Node. */
  readonly address: string;
  readonly cni: 'calico' | 'bridge';
  /** Whether ufw is on: hardway adds rules to it. */
  readonly ufw: boolean;
}

/** A refusal in words, with the command that ends it. */
export interface Blocked {
  readonly problem: string;
  readonly hint: string;
}

const hintFor = ({ owner, chain, podCIDR, own }: Refusal & { podCIDR: string; own: string | undefined }): string => {
  if (owner.endsWith(' firewalld')) {
    const command = `firewall-cmd --permanent --zone=trusted --add-source=${podCIDR}`;
    return `${command} && firewall-cmd --reload`;
  }
  if (!owner.startsWith('iptables-')) return `nft insert rule ${owner} ${chain} ip saddr ${podCIDR} accept`;
  return `${owner === own ? 'iptables' : owner} -I ${chain} -s ${podCIDR} -j ACCEPT`;
};

/**
 * Returns what in the firewall keeps Pods from this machine's API server or from one another, as a lab on this machine
 * would have it. Calico accepts what its Pods send before iptables' own rules are asked, and the bridge's plugin
 * `firewall` does so for what is forwarded; chains of nft beside these are asked all the same.
 */
export const blockedPods = (firewall: Firewall, { podCIDR, address, cni, ufw }: PodNetwork): readonly Blocked[] => {
  const { own } = firewall;
  const [device, other] = cni === 'bridge' ? ['cni0', 'cni0'] : ['cali0', 'cali1'];
  const toNode: Packet = { hook: 'input', in: device, from: podCIDR, to: `${address}/32`, protocol: 'tcp', port: 6443 };
  const toPod: Packet = {
    hook: 'forward',
    in: device,
    out: other,
    from: podCIDR,
    to: podCIDR,
    protocol: 'udp',
    port: 53,
  };
  const programs = Object.entries(firewall.iptables).map(([program, chains]) => iptablesChains(program, chains));
  const asked = (packet: Packet): readonly FirewallChain[] => [
    ...programs
      .flat()
      .filter(({ owner }) => !(owner === own && (ufw || cni === 'calico' || packet.hook === 'forward'))),
    ...nftChains(firewall.nft),
  ];
  const say = (packet: Packet, what: string): readonly Blocked[] =>
    refusals(asked(packet), packet).map((refusal) => ({
      problem: `the firewall rejects what Pods send to ${what}: ${refusal.owner} chain ${refusal.chain}, ${refusal.rule}`,
      hint: hintFor({ ...refusal, podCIDR, own, chain: baseOf(asked(packet), refusal, packet) }),
    }));
  return [...say(toNode, 'the API server on this machine'), ...say(toPod, 'one another')];
};

/** Returns the chain that the kernel calls and that led to the one which rejects: there a rule comes first. */
const baseOf = (chains: readonly FirewallChain[], { owner, chain }: Refusal, { hook }: Packet): string =>
  chains.find((one) => one.owner === owner && one.base?.hook === hook)?.name ?? chain;
