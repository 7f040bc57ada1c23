/** Events of a run; `--json` prints them as they are, one a line. */
export type RunEvent =
  | {
      readonly event: 'step';
      readonly step: string;
      readonly state: 'started' | 'healthy' | 'observed' | 'skipped' | 'failed';
      readonly seconds?: number;
    }
  | { readonly event: 'waiting'; readonly step: string; readonly check: string; readonly reason: string }
  | { readonly event: 'progress'; readonly step: string; readonly text: string }
  /** A change to this machine; in a dry run, one that would be made. */
  | { readonly event: 'change'; readonly step: string; readonly what: string }
  /** With --observe: an observation, its command and the command's output. */
  | {
      readonly event: 'observation';
      readonly step: string;
      readonly phrase: string;
      readonly command: string;
      readonly output: string;
    }
  /** A stage of `hardway certs rotate`: what it replaces, and what it makes true. */
  | {
      readonly event: 'stage';
      readonly stage: string;
      readonly names: readonly string[];
      readonly state: 'started' | 'done';
      readonly text: string;
      readonly seconds?: number;
    }
  | { readonly event: 'done'; readonly ok: boolean; readonly seconds: number; readonly reason?: string };

export type Tell = (event: RunEvent) => void;
