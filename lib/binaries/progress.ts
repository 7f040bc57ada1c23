/** Progress of one file; `name` is a binary, a published file or an image. */
export interface Progress {
  readonly name: string;
  readonly state: 'cached' | 'downloading' | 'building' | 'installing' | 'unpacking' | 'packing' | 'done';
  readonly bytes?: number;
  readonly total?: number;
  readonly bytesPerSecond?: number;
}

export type Report = (progress: Progress) => void;
