import { lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { removeMade } from '../../bin/reset/clean/files.ts';
import { isTheOne } from '../../bin/reset/clean/scope.ts';
import { planReset } from '../../bin/reset/plan.ts';
import { openGate, type UndoEvent } from '../../lib/engine/gate.ts';
import { files } from '../../lib/host/snapshot/files.ts';
import type { HostSnapshot } from '../../lib/host/snapshot.ts';
import { scratchFolder } from '../fixtures.ts';

let folder = '';
let told: UndoEvent[] = [];
beforeEach(async () => {
  const scratch = await scratchFolder();
  folder = scratch.path;
  told = [];
  return scratch.remove;
});

/** Numbers from 0 to 1 that follow from a seed (mulberry32). */
const numbersFrom = (seed: number): (() => number) => {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
};

/** Lists everything below a folder with what it is, links as links. */
const listing = async (path: string): Promise<readonly string[]> => {
  const entries = await readdir(path, { withFileTypes: true });
  const listed = await Promise.all(
    entries.map(async (entry) => {
      const inner = join(path, entry.name);
      if (entry.isSymbolicLink()) return [`${inner} -> ${await readlink(inner)}`];
      if (entry.isDirectory()) return [inner, ...(await listing(inner))];
      return [`${inner}: ${await readFile(inner, 'utf8')}`];
    }),
  );
  return listed.flat().toSorted();
};

/** Makes folders, files and links at random below a folder, also in folders that are there already. */
const fill = async (path: string, owner: string, random: () => number, depth = 3): Promise<void> => {
  for (let count = Math.floor(random() * 4); count >= 0; count -= 1) {
    const name = join(path, `${'abcdef'[Math.floor(random() * 6)]}${random() < 0.5 ? '' : owner}`);
    const kind = random();
    const failed = () => {}; // the other has something of that name there
    if (kind < 0.45) await writeFile(name, owner, { flag: 'wx' }).catch(failed);
    else if (kind < 0.6) await symlink(join(folder, 'elsewhere'), name).catch(failed);
    else {
      await mkdir(name).catch(failed);
      if (depth > 0 && (await lstat(name)).isDirectory()) await fill(name, owner, random, depth - 1);
    }
  }
};

/** Resets a lab whose daemons fill these places. */
const resetPlaces = async (
  places: readonly string[],
  before: HostSnapshot | undefined,
  kept: readonly string[] = [],
) => {
  const { failures, remaining, runStage } = openGate(false, (event) => told.push(event));
  const plan = planReset({
    ...{ found: { entries: [], state: undefined, before }, to: undefined },
    ...{ sharesContainers: false, purges: false },
  });
  const leaves = { ...plan.leaves, paths: places };
  await runStage('folders', async (undoer) => {
    for (const path of kept) undoer.reportKept('somebody needs it', path);
    const { signal } = new AbortController();
    const scope = { undoer, failures, remaining, before, signal, reportDifference: () => {} };
    await removeMade({ ...scope, plan: { ...plan, leaves } });
  });
  return failures;
};

const snapshotOf = (places: readonly string[]): HostSnapshot => ({
  ...{ version: 1, homes: [], places },
  sections: { file: files([], places) },
});

describe('of a folder that daemons fill', () => {
  test.each(Array.from({ length: 20 }, (_, seed) => seed))(
    'everything that came since goes and everything else stays, seed %i',
    async (seed) => {
      const random = numbersFrom(seed);
      const places = ['plain', 'linked', 'made'].map((name) => join(folder, name));
      for (const name of ['plain', 'elsewhere', 'target']) await mkdir(join(folder, name));
      await symlink(join(folder, 'target'), join(folder, 'linked'));
      for (const name of ['plain', 'elsewhere', 'target']) await fill(join(folder, name), 'theirs', random);
      const then = await listing(folder);
      const before = snapshotOf(places);

      await mkdir(join(folder, 'made'));
      for (const place of places) await fill(place, 'ours', random);
      expect(await resetPlaces(places, before)).toEqual([]);
      expect(await listing(folder)).toEqual(then);
    },
  );

  test('a link that a daemon made goes, and what it leads to stays', async () => {
    await mkdir(join(folder, 'elsewhere'));
    await writeFile(join(folder, 'elsewhere/note'), 'theirs');
    const before = snapshotOf([join(folder, 'made')]);
    await symlink(join(folder, 'elsewhere'), join(folder, 'made'));
    await resetPlaces([join(folder, 'made')], before);
    expect(await listing(folder)).toEqual([join(folder, 'elsewhere'), join(folder, 'elsewhere/note: theirs')]);
  });

  test('what one stage has kept every later stage keeps, with the folders around it', async () => {
    const place = join(folder, 'made');
    const before = snapshotOf([place]);
    await mkdir(join(place, 'a/b'), { recursive: true });
    for (const name of ['a/b/kept', 'a/b/other', 'c']) await writeFile(join(place, name), '');
    await resetPlaces([place], before, [join(place, 'a/b/kept')]);
    expect(await listing(place)).toEqual([join(place, 'a'), join(place, 'a/b'), join(place, 'a/b/kept: ')]);
  });

  test('without a snapshot a link at its place is not removed: no daemon makes one there', async () => {
    await mkdir(join(folder, 'target'));
    await writeFile(join(folder, 'target/state'), 'ours');
    await symlink(join(folder, 'target'), join(folder, 'linked'));
    await resetPlaces([join(folder, 'linked')], undefined);
    expect(await listing(folder)).toEqual([
      `${join(folder, 'linked')} -> ${join(folder, 'target')}`,
      join(folder, 'target'),
    ]);
  });
});

describe('a link or a mount of a name that the snapshot has', () => {
  const before: HostSnapshot = {
    ...{ version: 1, homes: [] },
    sections: { link: { cni0: 'bridge' }, mount: { '/mnt': 'ext4' } },
    identities: { boot: 'one', link: { cni0: [7] }, mount: { '/mnt': [40] } },
  };

  test.each([
    ['has its number: it is the one', 'link', 'one', ['cni0', 7], true],
    ['has another number: another was made since', 'link', 'one', ['cni0', 9], false],
    ['has another number after a reboot: the numbers are new', 'link', 'two', ['cni0', 2], true],
    ['is mounted on the one that was there', 'mount', 'one', ['/mnt', 41], false],
    ['is not in it', 'link', 'one', ['cali1', 7], false],
  ] as const)('%s', (_, kind, boot, thing, expected) => {
    expect(isTheOne(before, boot, kind, thing)).toBe(expected);
  });

  test('is known by its name where the snapshot is one of hardway 0.1', () => {
    const { identities, ...old } = before;
    expect(identities?.boot).toBe('one');
    expect(isTheOne(old, 'one', 'link', ['cni0', 99])).toBe(true);
  });
});
