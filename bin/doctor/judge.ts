import type { Answer } from '../../lib/binaries/download.ts';
import { isGood } from '../../lib/binaries/download.ts';
import type { Sources } from '../../lib/binaries/reach.ts';
import type { Failure } from '../../lib/engine/check.ts';
import type { Usage } from '../../lib/host/facts/kernel.ts';
import type { Place } from '../../lib/host/facts/places.ts';
import { paths } from '../../lib/host/paths.ts';
import type { Finding as Reason } from '../up/leftovers.ts';

/** Something that is wrong: what was found, its cause, and the command that helps. */
export interface Finding extends Reason {
  readonly cause: string;
}

/** What a look has seen. */
export interface Seen {
  /** What was found, in a line for a person. */
  readonly found: string;
  readonly findings: readonly Finding[];
  /** What could not be looked at, and why. */
  readonly unseen?: string;
}

const fine = (found: string): Seen => ({ found, findings: [] });
const wrong = (found: string, ...findings: readonly Finding[]): Seen => ({ found, findings });

/** A name server, the file that names it, and why it did not answer. */
export interface NameServer {
  readonly address: string;
  readonly path: string;
  readonly fault: string | undefined;
}

/** Judges name servers; `fetching` is true where something has to be fetched by its name. */
export const judgeNameServers = (servers: readonly NameServer[], fetching: boolean): Seen => {
  if (servers.length === 0)
    return fetching
      ? wrong('no name server', {
          problem: 'this machine has no name server, and programs have to be fetched by the names of their sites',
          cause: '/etc/resolv.conf names none',
          hint: 'resolvectl dns INTERFACE ADDRESS; or, without systemd-resolved: echo "nameserver ADDRESS" >>/etc/resolv.conf',
        })
      : fine('no name server, and nothing has to be fetched');
  const findings = servers.flatMap(({ address, path, fault }) =>
    fault === undefined
      ? []
      : {
          problem: `the name server ${address} does not answer`,
          cause: `${path} names it: ${fault}; each look-up waits for it first`,
          hint: `ip route get ${address} shows the way to it; resolvectl dns INTERFACE ADDRESS, or a line of ${path}, names another`,
        },
  );
  const said = servers.map(({ address, fault }) => `${address} ${fault === undefined ? 'answers' : 'does not answer'}`);
  return { found: said.join(', '), findings };
};

/** Milliseconds that this clock may differ from another one: a Date has whole seconds, and an answer takes its time. */
const mostSkew = 60_000;

/** Codes of Node for a certificate whose time has not come or is over. */
const certificateTimes = ['CERT_NOT_YET_VALID', 'CERT_HAS_EXPIRED'];

const setClock = 'timedatectl set-ntp true';

/** Judges this machine's clock by those of the sites that answered: by the nearest one, as one of them may be wrong. */
export const judgeClock = (answers: readonly Answer[]): Seen => {
  const [nearest] = answers
    .flatMap(({ url, date, at }) => (date === undefined ? [] : { host: new URL(url).host, skew: at - date, date, at }))
    .sort((a, b) => Math.abs(a.skew) - Math.abs(b.skew));
  const refused = answers.find(({ code = '' }) => certificateTimes.includes(code));
  if (!nearest && refused)
    return wrong(`the certificate of ${new URL(refused.url).host} does not fit the time`, {
      problem: `this machine's clock says ${new Date(refused.at).toISOString()}, at which a certificate is not valid`,
      cause: `${refused.url}: ${refused.problem}`,
      hint: setClock,
    });
  if (!nearest) return fine('no other clock answers; it fits the certificates that are here');
  const seconds = Math.round(Math.abs(nearest.skew) / 1000);
  if (Math.abs(nearest.skew) <= mostSkew) return fine(`within ${Math.max(seconds, 1)} s of that of ${nearest.host}`);
  const way = nearest.skew > 0 ? 'ahead' : 'behind';
  return wrong(`${seconds} s ${way} of that of ${nearest.host}`, {
    problem: `this machine's clock says ${new Date(nearest.at).toISOString()}, ${nearest.host} ${new Date(nearest.date).toISOString()}`,
    cause: `it is ${seconds} s ${way}: nothing sets it, so certificates are not valid yet, or no longer, for others`,
    hint: setClock,
  });
};

/** Least packet, in bytes, that every link has to carry for IPv6 (RFC 8200); VPNs and overlays stay above it. */
const leastMtu = 1280;

/** Judges the largest packet of the Node's interface, in bytes. */
export const judgeMtu = (name: string, mtu: number): Seen =>
  mtu >= leastMtu
    ? fine(`${mtu} bytes on ${name}`)
    : wrong(`${mtu} bytes on ${name}`, {
        problem: `the MTU of ${name} is ${mtu} bytes; Pods get the same, and ${leastMtu} is the least that is usual`,
        cause: 'somebody has set it, or the network card below it has no more',
        hint: `ip link set ${name} mtu 1500`,
      });

/** Milliseconds within which 99 of 100 flushes should be done (https://etcd.io/docs/v3.6/faq/, on heartbeats that come late). */
const mostFlushMs = 10;

/** Returns the time within which a part of the times lies; 0.99 for 99 of 100. */
export const percentile = (times: readonly number[], part: number): number =>
  times.toSorted((a, b) => a - b)[Math.max(Math.ceil(times.length * part) - 1, 0)] ?? 0;

const milliseconds = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} ms`;

/** Judges how long a disk takes until what was written is on it, in milliseconds. */
export const judgeFlushes = (times: readonly number[], { point, type }: Pick<Place, 'point' | 'type'>): Seen => {
  const slow = percentile(times, 0.99);
  const found = `99 of 100 writes are on the disk within ${milliseconds(slow)} (${times.length} writes to ${point})`;
  if (slow <= mostFlushMs) return fine(found);
  return wrong(found, {
    problem: `etcd's disk takes ${milliseconds(slow)} until a write is on it (99 of 100); etcd wants ${mostFlushMs} ms`,
    cause: `the file system at ${point} (${type}): its disk is slow, shared or busy; the median is ${milliseconds(percentile(times, 0.5))}`,
    hint: `iostat -x 1 3 shows what keeps it busy (package sysstat); else put ${paths.root} on an SSD`,
  });
};

/** The inotify instances and watches that a whole lab needs beside what is there, or a lab that is here while it works. */
const needed = { new: { instances: 32, watches: 2048 }, here: { instances: 8, watches: 512 } } as const;

/** Judges what is left of the limits of inotify; `ours` is true where a lab uses its part already. */
export const judgeInotify = (
  usage: { readonly instances: Usage; readonly watches: Usage } | undefined,
  ours: boolean,
): Seen => {
  if (!usage) return fine('the kernel has no limit');
  const kinds = ['instances', 'watches'] as const;
  const found = kinds.map((kind) => `${usage[kind].used} of ${usage[kind].most} ${kind}`).join(', ');
  const findings = kinds.flatMap((kind): readonly Finding[] => {
    const { used, most, by } = usage[kind];
    const want = needed[ours ? 'here' : 'new'][kind];
    if (most - used >= want) return [];
    return [
      {
        problem: `root may have ${most} inotify ${kind} and has ${used}: components fail with "too many open files"`,
        cause: by === undefined ? `the limit is low: a lab wants ${want}` : `most of them are those of ${by}`,
        hint: `sysctl -w fs.inotify.max_user_${kind}=${Math.max(most * 2, used + want * 4)}`,
      },
    ];
  });
  return { found, findings };
};

/** The part of the table of connections from which on it is called nearly full. */
const nearlyFull = 0.8;

/** Judges how full the kernel's table of connections is. */
export const judgeConntrack = (usage: Usage | undefined): Seen => {
  if (!usage) return fine('not loaded yet');
  const { used, most } = usage;
  const found = `${used} of ${most} connections`;
  if (used < most * nearlyFull) return fine(found);
  return wrong(found, {
    problem: `the kernel tracks ${used} connections of at most ${most}; it drops new ones once its table is full`,
    cause: 'programs open more of them than end, or the limit is low for what runs here',
    hint: `sysctl -w net.netfilter.nf_conntrack_max=${most * 2}`,
  });
};

/** Returns a field of a line of the kernel's about AppArmor: profile="runc". */
const fieldOf = (line: string, name: string): string => new RegExp(`\\b${name}="([^"]*)"`).exec(line)?.[1] ?? '';

/** Profile that containerd gives a container which asks for no other. */
const containerProfile = 'cri-containerd.apparmor.d';

/**
 * Judges what AppArmor denied, by the kernel's log. Counts a line about a program of these names, about one of these
 * folders, or about a container; the rest is that of others.
 */
export const judgeDenials = (log: string, ours: { programs: readonly string[]; folders: readonly string[] }): Seen => {
  const lines = log.split('\n').filter((line) => /apparmor="DENIED"/.test(line));
  const own = lines.filter((line) => {
    const [comm, profile, name] = ['comm', 'profile', 'name'].map((field) => fieldOf(line, field));
    return (
      profile === containerProfile ||
      ours.programs.some((program) => program.slice(0, 15) === comm) || // the kernel keeps 15 letters of it
      ours.folders.some((folder) => [name, profile].some((path) => path?.startsWith(`${folder}/`)))
    );
  });
  const findings = [...Map.groupBy(own, (line) => fieldOf(line, 'profile'))].map(([profile, here]): Finding => {
    const line = here.at(-1) ?? '';
    const what = [fieldOf(line, 'operation'), fieldOf(line, 'name') || fieldOf(line, 'peer')].filter(Boolean).join(' ');
    return {
      problem: `AppArmor denied ${fieldOf(line, 'comm')} something ${here.length} times in the last hour, such as ${what}`,
      cause: `the profile ${profile}`,
      hint:
        profile === containerProfile
          ? 'securityContext.appArmorProfile.type: Unconfined, in the Pod that needs it'
          : `aa-complain ${profile} (package apparmor-utils): it lets all pass, and logs it`,
    };
  });
  return {
    found: own.length === 0 ? 'on, and denied nothing of a lab in the last hour' : `on: ${own.length} denials`,
    findings,
  };
};

const sayAnswer = (answer: Answer): string => {
  const { host } = new URL(answer.url);
  if (answer.problem !== undefined) return `${host} does not answer (${answer.problem})`;
  return isGood(answer) ? `${host} answers` : `${host} answers ${answer.status}`;
};

/** A proxy that asks for a name and a password is told by its own status (RFC 9110, 407), in a message where it tunnels. */
const wantsPassword = (answers: readonly Answer[]): boolean =>
  answers.some(({ status, problem = '' }) => status === 407 || /\b407\b/.test(problem));

/** Judges whether what the cache lacks can be had, by what each source answered. */
export const judgeSources = ({ programs, missing, mirrored, sites, go, goProblem, proxy }: Sources): Seen => {
  const cache = `${programs.length - missing.length} of ${programs.length} programs are in the cache`;
  const toolchain = goProblem ?? (go ? `Go at ${go}` : 'no Go');
  const asked = [...sites, ...(proxy ? [proxy] : [])];
  const found = [
    cache,
    ...(mirrored ? ['HARDWAY_MIRROR is set'] : []),
    ...sites.map(sayAnswer),
    toolchain,
    ...(proxy ? [sayAnswer(proxy)] : []),
  ].join('; ');
  const dead = sites.filter((site) => !isGood(site));
  const [first] = dead;
  if (mirrored && first)
    return wrong(found, {
      problem: `HARDWAY_MIRROR does not have ${dead.map(({ url }) => url).join(', ')}`,
      cause: sayAnswer(first),
      hint: 'unset HARDWAY_MIRROR; or HARDWAY_MIRROR=https://mirror.example/path, one that answers',
    });
  const built = go !== undefined && (proxy === undefined || isGood(proxy) || proxy.status === 405); // it knows only GET
  if (missing.length === 0 || dead.length === 0 || built) return fine(found);
  return wrong(found, {
    problem: `the cache lacks ${missing.join(', ')}, and no source has them`,
    cause: [...dead, ...asked.filter((one) => one === proxy)].map(sayAnswer).concat(toolchain).join('; '),
    hint: wantsPassword(asked)
      ? 'HTTPS_PROXY=http://NAME:PASSWORD@PROXY:PORT hardway up'
      : 'HTTPS_PROXY=http://PROXY:PORT hardway up, or HARDWAY_MIRROR=https://MIRROR hardway up; or copy the files here: --source dir --from FOLDER',
  });
};

/** Judges a machine without the state of a lab, by how many changes its ledger has. */
export const judgeNoLab = (changes: number): Seen =>
  changes === 0
    ? fine('there is none')
    : wrong(`${changes} changes of a lab, and no state of it`, {
        problem: `${paths.state} is not here, and the ledger has ${changes} changes of a lab`,
        cause: 'it was removed, or hardway up was ended in its first step',
        hint: 'hardway up writes it again, and keeps healthy components; or hardway reset takes all back',
      });

/** The failed checks of a step. */
export interface Failed {
  readonly step: string;
  readonly failures: readonly Failure[];
}

/**
 * Judges a lab by the checks of its steps, in their order. Those of the first step that has a fault are told each; what
 * comes after it rests on it, and is only named.
 */
export const judgeLab = (steps: number, failed: readonly Failed[]): Seen => {
  const blind = failed.flatMap(({ step, failures }) =>
    failures.filter((one) => one.blind).map(({ phrase, reason }) => `${step}, ${phrase}: ${reason}`),
  );
  const [first, ...later] = failed
    .map(({ step, failures }) => ({ step, failures: failures.filter((one) => !one.blind) }))
    .filter(({ failures }) => failures.length > 0);
  const unseen = blind.length > 0 ? { unseen: blind.join('; ') } : {};
  if (!first) return { ...fine(`${steps} steps, every check of them passed`), ...unseen };
  const findings = first.failures.map(
    ({ phrase, reason }): Finding => ({
      problem: `${first.step}: "${phrase}" is not so`,
      cause: reason,
      hint: `hardway up repairs it; hardway check ${first.step} looks again`,
    }),
  );
  const count = later.reduce((sum, { failures }) => sum + failures.length, 0);
  const rest: Finding = {
    problem: `${count} more ${count === 1 ? 'check' : 'checks'} did not pass, of ${later.map(({ step }) => step).join(', ')}`,
    cause: `they come after ${first.step}, which has a fault`,
    hint: 'hardway check, when that is mended, tells what is left',
  };
  return {
    ...wrong(`${first.step} has a fault, ${count} checks after it`, ...findings, ...(count > 0 ? [rest] : [])),
    ...unseen,
  };
};
