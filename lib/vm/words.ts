export interface InsideOptions {
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** User that runs it; root by default. */
  readonly user?: string | undefined;
}

const knownTerminals = /^(xterm|screen|tmux|linux|vt\d|rxvt|ansi|dumb)/;

/** Returns the command line that runs inside a VM as that user, with a login's environment instead of the caller's. */
export const insideWords = (argv: readonly string[], { env, user = 'root' }: InsideOptions = {}): string[] => {
  const home = user === 'root' ? '/root' : `/home/${user}`;
  const term = process.env['TERM'] ?? '';
  const settings = {
    HOME: home,
    USER: user,
    LOGNAME: user,
    SHELL: '/bin/bash',
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    LANG: 'C.UTF-8',
    // A VM knows only the terminals of ncurses-base; any other is treated as xterm.
    TERM: knownTerminals.test(term) ? term : 'xterm-256color',
    ...env,
  };
  const words = [
    'env',
    '-i',
    '-C',
    home,
    ...Object.entries(settings).map(([key, value]) => `${key}=${value}`),
    ...argv,
  ];
  return user === 'root' ? words : ['runuser', '-u', user, '--', ...words];
};
