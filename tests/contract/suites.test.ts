import { existsSync } from 'node:fs';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { archiveFor, chooseSuite, scriptFor, suiteNames } from '../../lib/vm/suites.ts';
import { scratchFolder } from '../fixtures.ts';

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
beforeAll(async () => {
  scratch = await scratchFolder();
});
afterAll(() => scratch.remove());

describe("debootstrap's script for a suite", () => {
  test('is that of its name, else that of its distribution, which later ones are links to', async () => {
    await writeFile(`${scratch.path}/gutsy`, '');
    await symlink('gutsy', `${scratch.path}/jammy`);
    expect(await scriptFor({ name: 'jammy', distribution: 'ubuntu' }, scratch.path)).toBe(`${scratch.path}/jammy`);
    expect(await scriptFor({ name: 'resolute', distribution: 'ubuntu' }, scratch.path)).toBe(`${scratch.path}/gutsy`);
  });

  test('is missed with the suite and the way out where there is neither', async () => {
    await mkdir(`${scratch.path}/none`);
    await expect(scriptFor({ name: 'resolute', distribution: 'ubuntu' }, `${scratch.path}/none`)).rejects.toMatchObject(
      {
        name: 'UserError',
        message: expect.stringContaining('no script for resolute'),
        next: expect.stringContaining('--suite bookworm'),
      },
    );
  });
});

describe('the archive of a suite', () => {
  const missing = ['/usr/sbin/debootstrap', '/usr/bin/wget'].filter((file) => !existsSync(file));
  beforeEach(({ skip }) =>
    skip(missing.length > 0, `${missing.join(', ')} is not here; type: apt-get install debootstrap wget`),
  );

  const serve = async (status: number, use: (mirror: string) => Promise<void>) => {
    const server = createServer((_, response) => response.writeHead(status).end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    await use(`http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/ubuntu`);
    server.close();
  };
  const resolute = { name: 'resolute', distribution: 'ubuntu' } as const;

  test('is given to debootstrap with a script where it answers', async () => {
    await serve(200, async (mirror) => {
      const [archive, script] = await archiveFor({ ...resolute, mirror });
      expect(archive).toBe(mirror);
      expect(script).toMatch(/\/(resolute|gutsy)$/);
    });
  });

  test('is named with the suite where it does not answer, or has no such suite', async () => {
    const refused = (mirror: string) =>
      expect(archiveFor({ ...resolute, mirror })).rejects.toMatchObject({
        name: 'UserError',
        message: `the archive ${mirror} of ubuntu resolute does not answer`,
        next: expect.stringContaining('--suite bookworm'),
      });
    await refused('http://127.0.0.1:9/ubuntu');
    await serve(404, refused);
  });

  test('may be that of Ubuntu 26.04', async () => {
    expect(suiteNames).toContain('resolute');
    expect(await chooseSuite('resolute')).toMatchObject(resolute);
  });
});
