import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { type Bundle, openBundle, type Part } from '../../lib/binaries/bundle.ts';
import { UserError } from '../../lib/engine/errors.ts';
import { type Arch, architectures, cnis } from '../../lib/engine/lab.ts';
import { parseChoice } from '../../lib/engine/nearest.ts';
import { needsOf } from '../../lib/engine/step.ts';
import { formatBytes } from '../../lib/engine/text.ts';
import { launcher, paths } from '../../lib/host/paths.ts';
import { everyStep, extras } from '../../steps/index.ts';
import { interruptible } from '../interrupt.ts';
import { asTyped } from '../typed.ts';

const say = (text: string): void => void process.stdout.write(asTyped(`${text}\n`));

/** Lines of a table, the columns as wide as their widest cell. */
const table = (rows: readonly (readonly string[])[]): string => {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
};

const sizeOf = (parts: readonly Part[]): string => formatBytes(parts.reduce((sum, { size }) => sum + size, 0));

/** What a bundle is for, in a line. */
const headline = ({ contents, mark }: Bundle): string => {
  const { arch, kubernetes, cni, parts } = contents;
  const more = contents.with.map((extra) => `, with ${extra}`).join('');
  return `Kubernetes ${kubernetes} for ${arch}, network ${cni}${more}: ${parts.length} parts, ${sizeOf(parts)}, mark ${mark}`;
};

export interface CreateOptions {
  readonly cni?: string;
  readonly with?: string;
  readonly arch?: string;
}

/** Makes a bundle, and says how it is used. Throws UserError as `createBundle` does. */
export const create = async (file: string, options: CreateOptions): Promise<void> => {
  const arch: Arch = options.arch
    ? parseChoice('architecture', ['amd64', 'arm64'] as const, options.arch)
    : (architectures[process.arch] ?? 'amd64');
  const extra = options.with === undefined ? [] : [parseChoice('extra', extras, options.with)];
  const { whyNoCalico, requireCalico } = await import('../../lib/binaries/calico.ts');
  const where = { cache: paths.cache, arch, source: { kind: 'auto' } } as const;
  const asked = options.cni === undefined ? undefined : parseChoice('CNI', cnis, options.cni);
  if (asked === 'calico') await requireCalico(where);
  const why = asked === undefined ? await whyNoCalico(where) : undefined;
  if (why !== undefined) process.stderr.write(`without Calico: ${why}\n`);
  const { createBundle } = await import('../../lib/binaries/bundle-create.ts');
  const { createTally } = await import('../../lib/binaries/progress.ts');
  const tally = createTally();
  let last = '';
  await interruptible(`hardway bundle create ${file}`, (signal) =>
    createBundle(file, {
      project: join(launcher, '../..'),
      needs: needsOf(everyStep.filter(({ id, extra: onlyAsked }) => !onlyAsked || extra.includes(id))),
      cni: asked ?? (why === undefined ? 'calico' : 'bridge'),
      with: extra,
      arch,
      cache: paths.cache,
      signal,
      report: (progress) => {
        if (progress.state === 'cached' || progress.state === 'downloading') return;
        const line = progress.state === 'packing' ? `packing ${progress.name}` : tally(progress);
        if (line && line !== last) process.stderr.write(`${line}\n`);
        last = line;
      },
    }),
  );
  say(
    `${headline(await openBundle(file))}\nnext, where there is no network: sudo hardway up --source bundle --from ${file}`,
  );
};

/** Verifies a bundle and says what is in it. Throws UserError as `openBundle` does. */
export const inspect = async (file: string, { json }: { readonly json?: boolean }): Promise<void> => {
  const bundle = await openBundle(file);
  if (json) return say(JSON.stringify({ ...bundle.contents, mark: bundle.mark }));
  const rows = bundle.contents.parts.map(({ kind, of, version, size, content, origin = '' }) => [
    kind,
    of,
    version,
    formatBytes(size),
    content ? formatBytes(content.size) : '',
    origin,
  ]);
  say(`${headline(bundle)}\n${table([['kind', 'what', 'version', 'packed', 'unpacked', 'from'], ...rows])}`);
  say('every checksum is right');
};

/** Addresses of this machine at which others in a room reach it. */
const addresses = (): readonly string[] =>
  Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .filter(({ family, internal }) => family === 'IPv4' && !internal)
    .map(({ address }) => address);

/** Serves a bundle until Ctrl-C, and prints the line that the others type. Throws UserError as `serveBundle` does. */
export const serve = async (file: string, { port: typed }: { readonly port: string }): Promise<void> => {
  const port = Number(typed);
  if (!/^\d+$/.test(typed) || port > 65_535)
    throw new UserError(`--port ${typed} is no port`, `hardway bundle serve --port 8080 ${file}`);
  const bundle = await openBundle(file);
  const { serveBundle } = await import('../../lib/binaries/bundle-serve.ts');
  await interruptible(`hardway bundle serve ${file}`, async (signal) => {
    const served = await serveBundle(bundle, { port });
    const places = addresses().length > 0 ? addresses() : ['127.0.0.1'];
    say(headline(bundle));
    say('The others type, each where its hardway is:');
    for (const place of places) say(`  sudo bin/hardway up --source http://${place}:${served.port}/${bundle.mark}`);
    say('Ctrl-C ends it.');
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    await served.close();
  });
};
