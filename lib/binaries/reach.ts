import type { Arch } from '../engine/lab.ts';
import { tryRun } from '../host/run.ts';
import { type Answer, ask, mirrored } from './download.ts';
import { programsMissing } from './provide.ts';
import { plan } from './release.ts';
import { askingGo, findGo } from './toolchain.ts';
import { productOf } from './versions.ts';

/** What each source of programs answers. */
export interface Sources {
  /** Programs of a lab, and those of them that the cache lacks. */
  readonly programs: readonly string[];
  readonly missing: readonly string[];
  /** True where HARDWAY_MIRROR is asked in the place of the release sites. */
  readonly mirrored: boolean;
  /** One answer a release site. */
  readonly sites: readonly Answer[];
  /** The Go toolchain that is here, or why the one that is here is not used. */
  readonly go?: string;
  readonly goProblem?: string;
  /** The answer of Go's module proxy; absent where Go asks none. */
  readonly proxy?: Answer;
}

/**
 * Returns the address of a file of each release site, at HARDWAY_MIRROR where that is set. Throws UserError where the
 * mirror is no address to ask.
 */
export const siteUrls = (programs: readonly string[], arch: Arch, kubernetes?: string): readonly string[] => {
  const urls = plan(programs, arch, kubernetes).map(({ url }) => url);
  const first = urls.filter((url, index) => urls.findIndex((one) => new URL(one).host === new URL(url).host) === index);
  return first.map(mirrored);
};

/** Returns the address of a module of a program in the first module proxy that Go asks; undefined where it asks none. */
const proxyUrl = async (go: string, program: string, kubernetes: string | undefined): Promise<string | undefined> => {
  const { stdout } = await tryRun(go, ['env', 'GOPROXY'], { env: askingGo(), timeout: 3000 });
  const [proxy] = stdout.trim().split(/[,|]/);
  const { version, modules: [module] = [] } = productOf(program, kubernetes).product;
  if (!proxy || !/^https?:/.test(proxy) || !module) return undefined;
  // A capital letter is written as ! and its small one (https://go.dev/ref/mod#goproxy-protocol).
  const escaped = module.replaceAll(/[A-Z]/g, (letter) => `!${letter.toLowerCase()}`);
  return `${proxy.replace(/\/$/, '')}/${escaped}/@v/${version}.info`;
};

const goNow = async (
  program: string,
  { kubernetes, signal }: Pick<Where, 'kubernetes' | 'signal'>,
): Promise<Pick<Sources, 'go' | 'goProblem' | 'proxy'>> => {
  try {
    const go = await findGo();
    if (!go) return {};
    const url = await proxyUrl(go, program, kubernetes);
    return { go, ...(url && { proxy: await ask(url, signal) }) };
  } catch (error) {
    signal.throwIfAborted();
    return { goProblem: (error as Error).message };
  }
};

interface Where {
  readonly arch: Arch;
  readonly cache: string;
  /** Version of Kubernetes that the programs belong to; absent for the usual one. */
  readonly kubernetes?: string | undefined;
  readonly signal: AbortSignal;
}

/**
 * Asks each source of these programs, all at once, without taking or changing anything. Throws UserError for a
 * HARDWAY_MIRROR that is no address to ask.
 */
export const askSources = async (
  programs: readonly string[],
  { arch, cache, kubernetes, signal }: Where,
): Promise<Sources> => {
  const urls = siteUrls(programs, arch, kubernetes);
  const [missing, sites, go] = await Promise.all([
    programsMissing(programs, { arch, cache, kubernetes }),
    Promise.all(urls.map((url) => ask(url, signal))),
    goNow(programs[0] ?? '', { kubernetes, signal }),
  ]);
  return { programs, missing, mirrored: Boolean(process.env['HARDWAY_MIRROR']), sites, ...go };
};
