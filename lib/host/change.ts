/** How one change to the machine is taken back. Data, so that it can be written down before the change happens. */
export type Undo =
  /** A file or link that was not there before. `sha256` is what we wrote: a file that somebody changed since is kept beside. */
  | { readonly kind: 'remove'; readonly path: string; readonly sha256?: string }
  /** A folder that was not there before, with everything that has come into it. */
  | { readonly kind: 'remove-tree'; readonly path: string }
  /** A file that was there before and was kept in `from`. */
  | { readonly kind: 'restore'; readonly path: string; readonly from: string; readonly sha256?: string }
  | { readonly kind: 'run'; readonly argv: readonly string[] };

/** One change to the machine: what a person is told, and the way back. */
export interface Change {
  readonly what: string;
  readonly undo: Undo;
}
