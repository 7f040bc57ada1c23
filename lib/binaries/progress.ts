import { formatBytes } from '../engine/text.ts';

/** Progress of one file; `name` is a binary, a published file or an image. */
export interface Progress {
  readonly name: string;
  readonly state: 'cached' | 'downloading' | 'building' | 'installing' | 'unpacking' | 'packing' | 'done';
  readonly bytes?: number;
  readonly total?: number;
  readonly bytesPerSecond?: number;
}

export type Report = (progress: Progress) => void;

/** Formats progress as one line: "downloading etcd: 12 MB of 24 MB, 9 MB/s". */
export const progressText = ({ name, state, bytes, total, bytesPerSecond }: Progress): string => {
  const size = bytes === undefined ? '' : `: ${formatBytes(bytes)}${total ? ` of ${formatBytes(total)}` : ''}`;
  return `${state} ${name}${size}${bytesPerSecond ? `, ${formatBytes(bytesPerSecond)}/s` : ''}`;
};
