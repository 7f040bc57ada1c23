import { readdirSync } from 'node:fs';
import { readIfThere } from '../files.ts';
import { mountTable } from '../mounts.ts';
import { tryRun } from '../run.ts';
import { type Section, section } from './section.ts';

/** Mount points that sessions and short-lived services make and remove. */
const ignoredMounts = /^\/run\/(user|credentials)\/|^\/proc\/sys\/fs\/binfmt_misc$|^\/var\/lib\/hardway-vms\//;

const mounts = (): Section => {
  const counted = new Map<string, number>();
  return section(
    mountTable()
      .filter(({ point }) => !ignoredMounts.test(point))
      .map(({ point, type, source }) => {
        const times = (counted.get(point) ?? 0) + 1;
        counted.set(point, times);
        return [times === 1 ? point : `${point} (${times})`, `${type} ${source}`];
      }),
  );
};

/** Cgroups of units, which are recorded as units. */
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
    } catch {} // removed meanwhile
  };
  visit('/sys/fs/cgroup');
  return section(found);
};

/** Units that D-Bus or a timer starts and that end by themselves, and those of sessions and of single commands. */
const ignoredUnits =
  /^(user@|user-runtime-dir@|session-|run-|systemd-(hostnamed|timedated|localed|tmpfiles-clean|fsckd|initctl|ask-password|update-|networkd-wait|coredump|userdb)|apt-|dpkg-|packagekit|fwupd|polkit|man-db|logrotate|fstrim|e2scrub|motd-news|snapd|unattended|update-notifier|cloud-|getty@|modprobe@|phpsessionclean|sysstat|anacron|ua-|esm-|apport)/;

/**
 * Records units that are active or have failed. It does not ask which are enabled, because systemd takes most of a
 * second to answer: enabling makes links in /etc/systemd/system, which are recorded as files.
 */
const units = async (): Promise<Section> => {
  // Reads JSON, because a description may have line breaks.
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

/** Records mounts, cgroups, units, users and groups. */
export const system = async (): Promise<Record<string, Section>> => {
  const [unitsFound, usersFound] = await Promise.all([units(), users()]);
  return { mount: mounts(), unit: unitsFound, cgroup: cgroups(), account: usersFound };
};
