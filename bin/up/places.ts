import { formatBytes } from '../../lib/engine/text.ts';
import type { Place } from '../../lib/host/facts/places.ts';
import { paths, system } from '../../lib/host/paths.ts';
import { everyStep } from '../../steps/index.ts';
import type { Finding } from './leftovers.ts';

interface Use {
  readonly path: string;
  /** Bytes that must be free before the first step. */
  readonly bytes?: number;
  /** True if programs are started from there. */
  readonly programs?: true;
  /** True if a lab only reads there when everything that it needs is there. */
  readonly filled?: true;
}

/** Where a lab writes, and for what. Images are the greatest part of it: 2 GB with Calico's. */
const uses: readonly Use[] = [
  { path: '/var/lib', bytes: 5e9 },
  { path: system.containerd, bytes: 5e9 },
  { path: system.kubelet, bytes: 2e9 },
  { path: paths.root, bytes: 2e9, programs: true },
  { path: paths.cache, programs: true, filled: true }, // programs are links to it where it is on another disk
  { path: system.cniPlugins, programs: true },
  { path: system.cniConfig },
  { path: paths.units },
  { path: paths.links },
  { path: '/etc' },
  { path: '/run' },
  { path: '/var/log' },
  { path: '/proc/sys/net' },
  ...everyStep.flatMap(({ traces = [] }) => traces.flatMap(({ path }) => (path.startsWith('~/') ? [] : [{ path }]))),
];

/** The paths whose file systems are looked at. */
export const placesUsed: readonly string[] = uses.map(({ path }) => path);

/** File systems that the overlay of a container's files cannot lie on (Documentation/filesystems/overlayfs.rst, "Upper layer"). */
const withoutOverlay =
  /^(overlay|aufs|squashfs|ramfs|vfat|msdos|exfat|ntfs3?|nfs4?|cifs|smb3|9p|virtiofs|ceph|ecryptfs|fuse(blk|\..*)?)$/;

/** The least part of a disk's inodes that must be free: the kubelet takes no Pods with one in a hundred. */
const leastInodes = 0.02;

type Used = Place & Use;

/** Groups places by the file system that they are on. */
const byPoint = (places: readonly Used[]): readonly (readonly [string, readonly Used[]])[] => [
  ...Map.groupBy(places, ({ point }) => point),
];

const namesOf = (places: readonly Used[]): string => places.map(({ path }) => path).join(', ');

const readOnly = (places: readonly Used[]): readonly Finding[] =>
  byPoint(places.filter((place) => place.readOnly && !place.filled)).map(([point, here]) => ({
    problem: `the file system at ${point} is mounted read-only, and a lab writes to ${namesOf(here)}`,
    hint: `mount -o remount,rw ${point}`,
  }));

const noexec = (places: readonly Used[]): readonly Finding[] =>
  byPoint(places.filter((place) => place.noexec && place.programs)).map(([point, here]) => ({
    problem: `the file system at ${point} is mounted noexec, and programs of a lab are in ${namesOf(here)}`,
    hint: `mount -o remount,exec ${point}`,
  }));

const locked = (places: readonly Used[]): readonly Finding[] =>
  [...new Set(places.flatMap(({ locked: path, filled }) => (path && !filled ? [path] : [])))].map((path) => ({
    problem: `${path} may not be changed, not even by root: it is immutable`,
    hint: `chattr -i ${path}`,
  }));

const wrongType = (places: readonly Used[]): readonly Finding[] =>
  places
    .filter(({ path, type }) => path === system.containerd && withoutOverlay.test(type))
    .map(({ path, type }) => ({
      problem: `${path} is on a file system of type ${type}, on which no container can start`,
      hint: `mount a disk with ext4 or xfs at ${path}; or hardway vm up`,
    }));

/** Finds disks that are too full, each once. */
const full = (places: readonly Used[]): readonly Finding[] =>
  byPoint(places.filter(({ bytes }) => bytes !== undefined)).flatMap(([, here]) =>
    here.slice(0, 1).flatMap(({ path, freeBytes, freeInodes, bytes = 0 }) => {
      if (freeBytes < bytes)
        return {
          problem: `${formatBytes(freeBytes)} free below ${path}; ${bytes / 1e9} GB are needed`,
          hint: 'free some or enlarge the disk',
        };
      if (freeInodes < leastInodes)
        return {
          problem: `${(freeInodes * 100).toFixed(1)} % of the inodes are free below ${path}; 2 % are needed`,
          hint: `remove files: df -i ${path} counts them`,
        };
      return [];
    }),
  );

/** Finds file systems on which a lab cannot be; one that is here may go on with the room that it has left. */
export const unfitPlaces = (found: readonly Place[], ours: boolean): readonly Finding[] => {
  const places = uses.flatMap((use) =>
    found.filter(({ path }) => path === use.path).map((place) => ({ ...place, ...use })),
  );
  return [
    ...readOnly(places),
    ...locked(places),
    ...noexec(places),
    ...wrongType(places),
    ...(ours ? [] : full(places)),
  ];
};
