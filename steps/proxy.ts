import type { Lab } from '../lib/engine/lab.ts';
import { readSmallIfThere } from '../lib/host/files.ts';
import { paths } from '../lib/host/paths.ts';

/** File with the proxy for what containerd pulls. Only root may read it: the address may contain a password. */
export const proxyFile = `${paths.config}/proxy.env`;

type Environment = Readonly<Record<string, string | undefined>>;

/** Lists what is asked without a proxy: this machine, and the networks and names of the cluster. */
const direct = ({ serviceCIDR, podCIDR, node, domain }: Lab): readonly string[] => [
  ...['localhost', '127.0.0.1', '::1'],
  ...[node.address, serviceCIDR, podCIDR],
  ...['.svc', `.${domain}`],
];

const settingsOf = (lab: Lab, proxies: Readonly<Record<string, string>>, no: string): string => {
  const all = { ...proxies, NO_PROXY: [...new Set([...no.split(','), ...direct(lab)])].filter(Boolean).join(',') };
  return Object.entries(all)
    .map(
      ([name, value]) => `${name}='${value.trim().replaceAll(/[\s']/g, encodeURIComponent).replaceAll("'", '%27')}'\n`,
    )
    .join('');
};

/**
 * Returns the content of the file for the proxy variables of this run: a form that systemd and a shell read alike. Empty
 * where they are set to nothing; undefined where none is set, and then the proxy of an earlier run stays.
 */
export const proxySettings = (lab: Lab, env: Environment = process.env): string | undefined => {
  const valueFor = (name: string): string | undefined => env[name] ?? env[name.toLowerCase()];
  const given = ['HTTP_PROXY', 'HTTPS_PROXY'].flatMap((name) => {
    const value = valueFor(name);
    return value === undefined ? [] : [[name, value] as const];
  });
  if (given.length === 0) return undefined;
  const proxies = given.filter(([, value]) => value.trim() !== '');
  return proxies.length === 0 ? '' : settingsOf(lab, Object.fromEntries(proxies), valueFor('NO_PROXY') ?? '');
};

/** Returns the content of the file as it is to be after this run. */
export const proxyText = async (lab: Lab): Promise<string | undefined> =>
  proxySettings(lab) ?? (await readSmallIfThere(proxyFile));

/** Commands that write the file by hand, with the proxy of whoever types them: it may contain a password. */
export const proxyByHand = (lab: Lab): readonly string[] => [
  `(umask 077; cat >${proxyFile} <<EOF`,
  settingsOf(lab, { HTTPS_PROXY: '$HTTPS_PROXY' }, '$NO_PROXY').trimEnd(),
  'EOF',
  ')',
];
