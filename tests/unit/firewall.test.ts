import { describe, expect, test } from 'vitest';
import { blockedPods, nftChains, type Packet, type PodNetwork, refusals } from '../../lib/engine/firewall.ts';
import { parseChains } from '../../lib/host/snapshot/firewall.ts';
import ruleset from './fixtures/nft-ruleset.json' with { type: 'json' };

const network: PodNetwork = {
  podCIDR: '10.200.0.0/16',
  address: '10.240.0.10',
  cni: 'bridge',
  ufw: false,
};

const saved = (rules: readonly string[], policies: Readonly<Record<string, string>> = {}): string =>
  [
    '*filter',
    ...['INPUT', 'FORWARD', 'OUTPUT'].map((name) => `:${name} ${policies[name] ?? 'ACCEPT'} [0:0]`),
    ':MINE - [0:0]',
    ...rules,
    'COMMIT',
  ].join('\n');

const withRules = (
  rules: readonly string[],
  policies = {},
  changed: Partial<PodNetwork> = {},
  program = 'iptables-nft',
) =>
  blockedPods(
    { own: 'iptables-nft', iptables: { [program]: parseChains(saved(rules, policies)) }, nft: [] },
    { ...network, ...changed },
  );

const established = '-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT';
const loopback = '-A INPUT -i lo -j ACCEPT';
const ssh =
  '-A INPUT -p tcp -m state --state NEW -m tcp --dport 22 -m comment --comment "let me \\"in\\" -j" -j ACCEPT';
const reject = '-A INPUT -j REJECT --reject-with icmp-host-prohibited';
const drop = { INPUT: 'DROP' };

describe('rules of iptables that keep Pods from the API server are named with the command that helps', () => {
  test('the last rule of a cloud image, which rejects the rest', () => {
    expect(withRules([established, loopback, ssh, reject, '-A FORWARD -j REJECT'])).toEqual([
      {
        problem: `the firewall rejects what Pods send to the API server on this machine: iptables-nft chain INPUT, ${reject}`,
        hint: 'iptables -I INPUT -s 10.200.0.0/16 -j ACCEPT',
      },
    ]);
  });

  test.each<[string, readonly string[], object]>([
    ['a policy DROP', [established, loopback, ssh], drop],
    ['a rule for the private networks', ['-A INPUT -s 10.0.0.0/8 -j DROP'], {}],
    ['a rule for the port', ['-A INPUT -p tcp -m multiport --dports 22,6000:7000 -j DROP'], {}],
    ['a rule for all but the interface of the machine', ['-A INPUT ! -i eth0 -j DROP'], {}],
    ['a chain of a person', ['-A INPUT -j MINE', '-A MINE -i eth+ -j RETURN', '-A MINE -j DROP'], {}],
    ['a rule behind one that only logs', ['-A INPUT -m limit --limit 1/sec -j LOG', '-A INPUT -j DROP'], {}],
    ['a policy after a chain that says nothing', ['-A INPUT -g MINE', '-A INPUT -j ACCEPT'], drop],
  ])('%s', (_, rules, policies) => {
    const [first, ...more] = withRules(rules, policies);
    expect(first?.hint).toBe('iptables -I INPUT -s 10.200.0.0/16 -j ACCEPT');
    expect(more).toEqual([]);
  });

  test('of the other iptables: also for what is forwarded, where nothing opens it, with the name of that program', () => {
    const hints = withRules([], { INPUT: 'DROP', FORWARD: 'DROP' }, {}, 'iptables-legacy').map(({ hint }) => hint);
    expect(hints).toEqual([
      'iptables-legacy -I INPUT -s 10.200.0.0/16 -j ACCEPT',
      'iptables-legacy -I FORWARD -s 10.200.0.0/16 -j ACCEPT',
    ]);
  });
});

describe('rules of iptables that are not in the way are no finding', () => {
  test.each<[string, readonly string[], object]>([
    ['no rules', [], {}],
    ['a rule for another interface', ['-A INPUT -i eth0 -j DROP'], {}],
    ['a rule for another port', ['-A INPUT -p tcp -m tcp --dport 2379 -j REJECT --reject-with tcp-reset'], {}],
    ['a rule for another protocol', ['-A INPUT -p udp -j DROP', '-A INPUT -p icmp -j DROP'], {}],
    ['a rule for another network', ['-A INPUT -s 192.168.0.0/16 -j DROP', '-A INPUT ! -d 10.240.0.10/32 -j DROP'], {}],
    ['a rule for broken connections', ['-A INPUT -m conntrack --ctstate INVALID -j DROP'], {}],
    ['a rule that lets Pods in', ['-A INPUT -s 10.200.0.0/16 -j ACCEPT', reject], {}],
    ['a rule that lets the bridge in', ['-A INPUT -i cni0 -j ACCEPT'], drop],
    ['a rule that lets all of NAT in', ['-A INPUT -m conntrack --ctstate DNAT -j ACCEPT', reject], {}],
    ['a rule that may let Pods in', ['-A INPUT -m set --match-set good src -j ACCEPT', reject], {}],
    ['a rule that rejects some of the packets', ['-A INPUT -m recent --rcheck --name x -j DROP'], {}],
    ['a target of which nobody knows what it does', ['-A INPUT -j NFQUEUE --queue-num 0', reject], {}],
    ['docker, which drops what is forwarded', ['-A FORWARD -j MINE'], { FORWARD: 'DROP' }],
  ])('%s', (_, rules, policies) => {
    expect(withRules(rules, policies)).toEqual([]);
  });

  test('with Calico, which accepts what its Pods send before these rules are asked', () => {
    expect(withRules([reject], {}, { cni: 'calico' })).toEqual([]);
  });

  test('with ufw, to which hardway adds rules', () => {
    expect(withRules([], drop, { ufw: true })).toEqual([]);
  });
});

describe('chains of nft', () => {
  const nft = (table: string, chain: object, ...rules: readonly (readonly object[])[]) => [
    { chain: { family: 'inet', table, name: 'input', hook: 'input', policy: 'accept', ...chain } },
    ...rules.map((expr) => ({ rule: { family: 'inet', table, chain: 'input', expr } })),
  ];
  const blocked = (objects: readonly object[]) =>
    blockedPods({ own: 'iptables-nft', iptables: {}, nft: objects }, network);

  test('that drop by their policy are named, with Calico too', () => {
    const expected = [
      {
        problem:
          'the firewall rejects what Pods send to the API server on this machine: inet mine chain input, policy DROP',
        hint: 'nft insert rule inet mine input ip saddr 10.200.0.0/16 accept',
      },
    ];
    const objects = nft('mine', { policy: 'drop' });
    expect(blocked(objects)).toEqual(expected);
    expect(blockedPods({ own: 'iptables-nft', iptables: {}, nft: objects }, { ...network, cni: 'calico' })).toEqual(
      expected,
    );
  });

  test('of firewalld are opened with its own command', () => {
    const [found] = blocked(nft('firewalld', {}, [{ reject: { type: 'icmpx' } }]));
    expect(found?.hint).toBe(
      'firewall-cmd --permanent --zone=trusted --add-source=10.200.0.0/16 && firewall-cmd --reload',
    );
  });

  test('of firewalld that let translated connections in are no finding', () => {
    const dnat = { match: { op: 'in', left: { ct: { key: 'status' } }, right: 'dnat' } };
    expect(blocked(nft('firewalld', {}, [dnat, { accept: null }], [{ reject: { type: 'icmpx' } }]))).toEqual([]);
  });

  test('that iptables made are left to iptables', () => {
    const chain = { family: 'ip', table: 'filter', name: 'INPUT', hook: 'input', policy: 'drop' };
    expect(blocked([{ chain }])).toEqual([]);
  });

  const packet: Packet = {
    hook: 'input',
    in: 'cni0',
    from: '10.200.0.0/16',
    to: '10.240.0.10/32',
    protocol: 'tcp',
    port: 6443,
  };
  const chains = nftChains(ruleset.nftables);
  const named = (changed: Partial<Packet>) =>
    refusals(chains, { ...packet, ...changed }).map(({ chain, rule }) => `${chain}: ${rule}`);

  test('are followed as nft prints them: sets, ranges, prefixes, jumps and verdict maps', () => {
    expect(named({})).toEqual(['input: rule 12 of 12']);
    for (const passes of [{ port: 22 }, { port: 85 }, { to: '1.2.3.4/32' }, { in: 'lo' }, { port: 53 }])
      expect(named(passes)).toEqual([]);
    expect(named({ port: 91 })).toHaveLength(1);
    expect(named({ in: 'eth1' })).toHaveLength(1);
  });

  test('are followed into the chains that they jump to, which may let the packet pass', () => {
    expect(named({ in: 'wg7' })).toEqual([]); // ct status dnat accept
    expect(named({ in: 'wg7', protocol: 'udp', port: 5 })).toEqual(['more: rule 2 of 6']);
    expect(named({ in: 'wg7', port: 1 })).toEqual(['input: rule 12 of 12']);
  });

  test('a port of TCP that is not the one named says nothing of UDP', () => {
    const forwarded: Partial<Packet> = { hook: 'forward', out: 'cni0' };
    expect(named({ ...forwarded, port: 4 })).toEqual(['forward: rule 2 of 2']);
    expect(named({ ...forwarded, port: 7 })).toEqual(['forward: policy DROP']);
    expect(named({ ...forwarded, port: 4, protocol: 'udp' })).toEqual(['forward: policy DROP']);
  });
});
