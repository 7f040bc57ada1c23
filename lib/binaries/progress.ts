import { formatBytes } from '../engine/text.ts';

/** Progress of one file; `name` is a binary, a published file or an image. */
export interface FileProgress {
  readonly name: string;
  /** `announced` gives the size of a file that is to come, `note` only says something. */
  readonly state:
    | 'cached'
    | 'announced'
    | 'downloading'
    | 'waiting'
    | 'building'
    | 'installing'
    | 'unpacking'
    | 'packing'
    | 'note'
    | 'done';
  /** Bytes of it that are there, and how many of these an earlier run had left. */
  readonly bytes?: number;
  readonly left?: number;
  readonly total?: number;
  /** What there is to say: why it waits, or of a build which of all it is. */
  readonly words?: string;
}

/** Kinds of files, as they are added up for a person. */
const kinds = ['programs', 'manifests', 'images'] as const;
export type Kind = (typeof kinds)[number];
export interface Progress extends FileProgress {
  readonly kind: Kind;
}

export type Report = (progress: Progress) => void;

/** Seconds over which the speed is taken. */
const speedSeconds = 5;

/** "210 of 560 MB", or both with their units where these differ. */
const ofTotal = (bytes: number, total: number): string => {
  const [part, whole] = [formatBytes(bytes), formatBytes(total)];
  const unit = whole.slice(whole.indexOf(' '));
  return `${part.endsWith(unit) ? part.slice(0, -unit.length) : part} of ${whole}`;
};

/** "11 s", "4 min". */
const duration = (seconds: number): string =>
  seconds < 100 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`;

const sumOf = (all: readonly Progress[], field: 'bytes' | 'left' | 'total'): number =>
  all.reduce((sum, one) => sum + (one[field] ?? 0), 0);

/** Says how far files of one kind are: "programs: 210 of 560 MB"; nothing where all have come. */
const howFar = (kind: Kind, all: readonly Progress[]): string | undefined => {
  const ours = all.filter((one) => one.kind === kind);
  if (ours.every(({ state }) => state === 'done')) return undefined;
  const bytes = sumOf(ours, 'bytes');
  const known = ours.every(({ total }) => total !== undefined);
  return `${kind}: ${known ? ofTotal(bytes, sumOf(ours, 'total')) : formatBytes(bytes)}`;
};

/** Makes a function that returns the bytes a second of the last seconds, from all that has come at `now` (milliseconds). */
const createSpeedometer = (): ((bytes: number, now: number) => number) => {
  const samples: { readonly at: number; readonly bytes: number }[] = [];
  return (bytes, now) => {
    samples.push({ at: now, bytes });
    while (samples.length > 2 && now - (samples[1]?.at ?? now) > speedSeconds * 1000) samples.shift();
    const [first = { at: now, bytes }] = samples;
    const milliseconds = now - first.at;
    return milliseconds < 200 ? 0 : Math.max(0, ((bytes - first.bytes) / milliseconds) * 1000);
  };
};

/** Says how fast files come, and how long the rest takes where all sizes are known: "31 MB/s", "11 s left". */
const howFast = (all: readonly Progress[], perSecond: number): readonly string[] => {
  if (perSecond === 0) return [];
  const missing = sumOf(all, 'total') - sumOf(all, 'bytes');
  const known = missing > 0 && all.every(({ total }) => total !== undefined);
  return [`${formatBytes(perSecond)}/s`, ...(known ? [`${duration(missing / perSecond)} left`] : [])];
};

/**
 * Makes a function that adds up what comes. It takes what happens to one file and returns the whole as one line:
 * "programs: 210 of 560 MB, images: 12 of 46 MB, 31 MB/s, 11 s left". A file that waits says why behind it, and what is no
 * download is said in its own words. `now` are milliseconds.
 */
export const createTally = (): ((progress: Progress, now?: number) => string) => {
  const files = new Map<string, Progress>();
  const speed = createSpeedometer();

  const sum = (now: number): string => {
    const all = [...files.values()];
    const parts = kinds.flatMap((kind) => howFar(kind, all) ?? []);
    if (parts.length === 0) return '';
    const fast = howFast(all, speed(sumOf(all, 'bytes') - sumOf(all, 'left'), now));
    const waiting = all.flatMap((one) => (one.state === 'waiting' && one.words) || []);
    return [[...parts, ...fast].join(', '), ...new Set(waiting)].join('; ');
  };

  return (progress, now = performance.now()) => {
    const { name, state, words } = progress;
    const before = files.get(name);
    if (state === 'note') return words ?? '';
    if (state === 'building' || state === 'installing') return `${state} ${name}${words ? `: ${words}` : ''}`;
    // A size may be said only when the file is already coming.
    if (state !== 'cached')
      files.set(name, state === 'announced' ? { ...progress, ...before } : { ...before, ...progress });
    return sum(now) || `${state} ${name}`;
  };
};
