import type { Flavour, Kind } from './record.ts';

/**
 * Packages of every VM: systemd, the programs that components call (iptables, conntrack, mount, ...) and a person's
 * tools.
 */
const everywhere = [
  'systemd systemd-sysv dbus util-linux mount kmod procps sudo passwd hostname',
  'iproute2 iptables nftables ipset conntrack iputils-ping ethtool',
  'ca-certificates curl openssl libseccomp2 libstdc++6 tmux less nano bash-completion',
];

/** Packages of a VM with a kernel of its own, which boots it and is entered through ssh. */
const bootable = ['initramfs-tools udev e2fsprogs openssh-server'];

/** Packages of an Ubuntu cloud image that a bare Debian lacks and that affect a lab. */
const ubuntuLike: Readonly<Record<Distribution, string[]>> = {
  debian: ['systemd-resolved ufw apparmor'],
  ubuntu: ['ufw apparmor'],
};

const kernels = {
  debian: { x64: 'linux-image-cloud-amd64', arm64: 'linux-image-cloud-arm64' },
  ubuntu: { x64: 'linux-image-virtual', arm64: 'linux-image-virtual' },
} as const;

export type Distribution = 'debian' | 'ubuntu';

/** Returns the packages of a VM, sorted: the list is part of the name of its cached tree. */
export const packagesFor = (
  distribution: Distribution,
  kind: Kind,
  flavour: Flavour,
  arch: 'x64' | 'arm64',
): readonly string[] =>
  [
    ...everywhere,
    ...(kind === 'qemu' ? [...bootable, kernels[distribution][arch]] : []),
    ...(flavour === 'ubuntu-like' ? ubuntuLike[distribution] : []),
  ]
    .flatMap((line) => line.split(' '))
    .sort();
