import { readdirSync, readlinkSync } from 'node:fs';
import { readIfThere } from '../files.ts';
import { tryRun } from '../run.ts';
import { type Section, section } from './section.ts';

/** Mount points that sessions and single runs of services bring and take away. */
const ignoredMounts = /^\/run\/(user|credentials)\/|^\/proc\/sys\/fs\/binfmt_misc$|^\/var\/lib\/hardway-vms\//;

/** A mount as /proc/self/mountinfo has it; its numbers are left out, as a remount changes them. */
export interface Mount {
  readonly point: string;
  readonly type: string;
  readonly source: string;
}

const unescaped = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** All mounts, in the order in which they were made. */
export const mountTable = async (): Promise<readonly Mount[]> => {
  const text = (await readIfThere('/proc/self/mountinfo')) ?? '';
  return text
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [before = '', after = ''] = line.split(' - ');
      const [type = '', source = ''] = after.split(' ');
      return { point: unescaped(before.split(' ')[4] ?? ''), type, source };
    });
};

/** Who works in a folder, for a message: "; used by sleep (pid 12)". Empty where nobody is found. */
export const processesUsing = async (folder: string): Promise<string> => {
  const isBelow = (path: string): boolean => path === folder || path.startsWith(`${folder}/`);
  const holders = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const open = readdirSync(`/proc/${pid}/fd`).map((fd) => `fd/${fd}`);
        return ['cwd', 'root', 'exe', ...open].some((link) => {
          try {
            return isBelow(readlinkSync(`/proc/${pid}/${link}`));
          } catch {
            return false; // closed since it was listed
          }
        });
      } catch {
        return false; // ended since it was listed
      }
    });
  const names = await Promise.all(
    holders.map(async (pid) => `${((await readIfThere(`/proc/${pid}/comm`)) ?? '').trim()} (pid ${pid})`),
  );
  return names.length > 0 ? `; used by ${names.join(', ')}` : '';
};

const mounts = async (): Promise<Section> => {
  const counted = new Map<string, number>();
  return section(
    (await mountTable())
      .filter(({ point }) => !ignoredMounts.test(point))
      .map(({ point, type, source }) => {
        const times = (counted.get(point) ?? 0) + 1;
        counted.set(point, times);
        return [times === 1 ? point : `${point} (${times})`, `${type} ${source}`];
      }),
  );
};

/** Cgroups of units come and go with them, and units are looked at by themselves. */
const ofUnit = /\.(service|scope|mount|socket|swap)$|\/user\.slice\/|\/system-[^/]*\.slice$/;

const cgroups = (): Section => {
  const found: [string, string][] = [];
  const visit = (path: string): void => {
    try {
      for (const entry of readdirSync(path, { withFileTypes: true })) {
        const inner = `${path}/${entry.name}`;
        if (!entry.isDirectory() || ofUnit.test(inner)) continue;
        found.push([inner, 'is there']);
        visit(inner);
      }
    } catch {} // gone while we looked
  };
  visit('/sys/fs/cgroup');
  return section(found);
};

/** Units that D-Bus or a timer starts and that end by themselves, and those of sessions and single commands. */
const ignoredUnits =
  /^(user@|user-runtime-dir@|session-|run-|systemd-(hostnamed|timedated|localed|tmpfiles-clean|fsckd|initctl|ask-password|update-|networkd-wait|coredump|userdb)|apt-|dpkg-|packagekit|fwupd|polkit|man-db|logrotate|fstrim|e2scrub|motd-news|snapd|unattended|update-notifier|cloud-|getty@|modprobe@|phpsessionclean|sysstat|anacron|ua-|esm-|apport)/;

/**
 * Units that are active or have failed. Which ones are enabled is not asked, as systemd takes most of a second to say
 * it: enabling makes links in /etc/systemd/system, and those are among the files.
 */
const units = async (): Promise<Section> => {
  // As JSON: a description may have lines of its own.
  const { stdout } = await tryRun('systemctl', [
    'list-units',
    '--all',
    '--output=json',
    '--type=service,socket,timer,path',
    '--state=active,failed',
  ]);
  const listed = (stdout.trim() === '' ? [] : JSON.parse(stdout)) as readonly { unit: string; active: string }[];
  return section(listed.filter(({ unit }) => !ignoredUnits.test(unit)).map(({ unit, active }) => [unit, active]));
};

const users = async (): Promise<Section> => {
  const [passwd, group] = await Promise.all(['/etc/passwd', '/etc/group'].map((file) => readIfThere(file)));
  const named = (kind: string, text = ''): [string, string][] =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => [`${kind} ${line.split(':')[0]}`, line.split(':').slice(2).join(':')]);
  return section([...named('user', passwd), ...named('group', group)]);
};

/** Mounts, cgroups, units, users and groups. */
export const system = async (): Promise<Record<string, Section>> => {
  const [mountsFound, unitsFound, usersFound] = await Promise.all([mounts(), units(), users()]);
  return { mount: mountsFound, unit: unitsFound, cgroup: cgroups(), account: usersFound };
};
