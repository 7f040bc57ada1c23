/**
 * The kinds of errors; bin/cli.ts chooses the exit code. UserError: what was asked, or the machine, is not fit (2).
 * Unhealthy: the lab has a fault (1). Bug, and mistakes in the code such as a TypeError: a fault of hardway (70).
 * Everything else, such as an error of the kernel: the machine failed (1).
 */
export class UserError extends Error {
  override readonly name = 'UserError';
  /** Command to type instead, or next. */
  readonly next: string | undefined;
  constructor(message: string, next?: string) {
    super(message);
    this.next = next;
  }
}

/** A check that did not pass in time, or a component that ended: the message names it and the reason. */
export class Unhealthy extends Error {
  override readonly name = 'Unhealthy';
  /** The last log lines of the component, oldest first. */
  readonly log: readonly string[];
  readonly next: string | undefined;
  constructor(message: string, details: { log?: readonly string[]; next?: string } = {}) {
    super(message);
    this.log = details.log ?? [];
    this.next = details.next;
  }
}

/** A broken invariant: a fault of hardway itself. */
export class Bug extends Error {
  override readonly name = 'Bug';
}

/** An answer of the API server with a status of 400 or more. The message is the server's own. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * Tells whether an error is a fault of hardway, not of the machine: a broken invariant, or a mistake in the code. A
 * SyntaxError is none: JSON.parse throws it for what a program or a server answered.
 */
export const isBug = (thrown: unknown): boolean =>
  [Bug, TypeError, ReferenceError, RangeError].some((kind) => thrown instanceof kind);

/** Meanings of the kernel's error codes for a person, where hardway runs as root. */
const causes: Readonly<Record<string, string>> = {
  ENOENT: 'is missing',
  EACCES: 'may not be touched, not even by root: is it mounted read-only, or locked by a security module?',
  EPERM: 'may not be changed, not even by root: lsattr shows whether it is immutable',
  EROFS: 'is on a file system that is mounted read-only',
  ENOSPC: 'is on a disk that is full',
  ELOOP: 'is a link that leads to itself, or passes through too many links',
  ENOTDIR: 'lies below something that is no folder',
  EDQUOT: 'is on a disk whose quota is used up',
  EISDIR: 'is a folder, not a file',
  EIO: 'cannot be read or written: its disk reports an error',
  EMFILE: 'cannot be opened: this process may not open more files; ulimit -n shows how many',
  ENFILE: 'cannot be opened: this machine has too many open files',
  ECONNREFUSED: 'is not listened to by any process',
  ECONNRESET: 'was closed in the middle by the other side',
};

/** Returns an error as a sentence for a person: the meaning of a kernel's error code, else the message. */
export const sentenceOf = (thrown: unknown): string => {
  if (thrown instanceof ApiError) return `the API server answered ${thrown.status}: ${thrown.message}`;
  const {
    code = '',
    path,
    dest,
    address,
    port,
  } = Object(thrown) as NodeJS.ErrnoException & { dest?: string; address?: string; port?: number };
  // Of a link and of a rename it is the new name that matters; a file is written under a temporary name beside it.
  const file = (dest ?? path)?.replace(/\.hardway-(?!kept)[^/]+$/, '');
  const what = file ?? (address && `${address}:${port}`);
  return causes[code] && what ? `${what} ${causes[code]}` : reasonOf(thrown);
};

/** Tells whether an error is the kernel's of a file or a folder, and not of a connection or a program. */
export const isOfFile = (thrown: unknown): boolean => {
  const { code = '', path, syscall = '' } = Object(thrown) as NodeJS.ErrnoException;
  return causes[code] !== undefined && path !== undefined && !/^(spawn|connect)/.test(syscall);
};

/**
 * Tells whether an error says that nobody could look, not what was seen: no descriptor or process was to be had, or the
 * program that looks could not be started.
 */
export const isBlind = (thrown: unknown): boolean =>
  ['EMFILE', 'ENFILE', 'EAGAIN', 'ENOMEM'].includes((thrown as NodeJS.ErrnoException)?.code ?? '') ||
  /\bspawn \S+ E[A-Z]+\b|\bE[MN]FILE\b|too many open files/i.test(reasonOf(thrown));

/** Tells whether an error, of Node or of a program that was run, says that a disk is full. */
export const isDiskFull = (thrown: unknown): boolean =>
  (thrown as NodeJS.ErrnoException)?.code === 'ENOSPC' || /no space left on device/i.test(reasonOf(thrown));

/** Returns the message of anything that was thrown, without its stack. */
export const reasonOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));
