import type { Command } from 'commander';
import type { commandNames } from './typed.ts';

/** One command: its line of help, whom it asks for, and its file, which is loaded only when the command is asked for. */
interface Entry {
  readonly summary: string;
  /** `root`: the launcher runs it with sudo. `lab`: so it does, and the command refuses a machine without a lab. */
  readonly needs: 'nobody' | 'root' | 'lab';
  /** True where it tells of every command, so that all of them are loaded. */
  readonly tellsOfAll?: true;
  readonly load: () => Promise<{ command: () => Command }>;
}

export type CommandName = (typeof commandNames)[number];

/** Every command by its name. */
export const commands: Readonly<Record<CommandName, Entry>> = {
  up: {
    summary: 'make this machine a single-node cluster, one component after the other',
    needs: 'root',
    load: () => import('./commands/up.ts'),
  },
  learn: {
    summary: 'an evening with every component, in a throw-away VM',
    needs: 'root',
    load: () => import('./commands/learn.ts'),
  },
  next: { summary: 'take one step, with its lesson', needs: 'root', load: () => import('./commands/next.ts') },
  reset: {
    summary: 'take everything back, and show that the machine is as it was',
    needs: 'root',
    load: () => import('./commands/reset.ts'),
  },
  back: { summary: 'take the last step back', needs: 'root', load: () => import('./commands/back.ts') },
  status: {
    summary: 'what runs, since when, and whether it is healthy',
    needs: 'lab',
    load: () => import('./commands/status.ts'),
  },
  steps: {
    summary: 'the steps in their order, and how far this machine is',
    needs: 'nobody',
    load: () => import('./commands/steps.ts'),
  },
  check: { summary: 'look at every health check once', needs: 'lab', load: () => import('./commands/check.ts') },
  doctor: {
    summary: 'what is wrong with this machine, why, and which command helps',
    needs: 'nobody',
    load: () => import('./commands/doctor.ts'),
  },
  certs: {
    summary: 'the certificates and keys of this lab',
    needs: 'lab',
    load: () => import('./commands/certs.ts'),
  },
  practice: {
    summary: 'a fault in this lab to repair, marked by what is true then',
    needs: 'lab',
    load: () => import('./commands/practice.ts'),
  },
  explain: {
    summary: 'what a step, a flag, a Service, a Pod or a request really is',
    needs: 'nobody',
    load: () => import('./commands/explain.ts'),
  },
  logs: { summary: 'what a component writes', needs: 'lab', load: () => import('./commands/logs.ts') },
  attach: {
    summary: "a component's window, where the lab runs in tmux",
    needs: 'lab',
    load: () => import('./commands/attach.ts'),
  },
  transcript: {
    summary: 'this lab by hand: a script, or a hand-out',
    needs: 'lab',
    load: () => import('./commands/transcript.ts'),
  },
  kubectl: {
    summary: 'kubectl as the admin of this cluster',
    needs: 'lab',
    load: () => import('./commands/kubectl.ts'),
  },
  demo: {
    summary: "the guide's web application in this cluster",
    needs: 'lab',
    load: () => import('./commands/demo.ts'),
  },
  shell: {
    summary: 'a shell with KUBECONFIG and PATH set for this cluster',
    needs: 'lab',
    load: () => import('./commands/shell.ts'),
  },
  init: {
    summary: 'write a settings file with every default as a comment',
    needs: 'root',
    load: () => import('./commands/init.ts'),
  },
  bundle: {
    summary: 'everything that a lab needs in one file, for machines without a network',
    needs: 'nobody',
    load: () => import('./commands/bundle.ts'),
  },
  vm: {
    summary: 'a throw-away VM on this machine to try all of it in',
    needs: 'root',
    load: () => import('./commands/vm.ts'),
  },
  completion: {
    summary: 'completion for bash, zsh or fish',
    needs: 'nobody',
    tellsOfAll: true,
    load: () => import('./commands/completion.ts'),
  },
  man: {
    summary: 'the manual page',
    needs: 'nobody',
    tellsOfAll: true,
    load: () => import('./commands/man.ts'),
  },
};
