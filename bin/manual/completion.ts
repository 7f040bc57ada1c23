import { type CommandRow, type Values, vmFolder } from './tree.ts';

export const shells = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof shells)[number];

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
const quoteFish = (text: string): string => `'${text.replaceAll(/[\\']/g, (one) => `\\${one}`)}'`;
const firstLine = (text: string): string => text.split('\n')[0] ?? '';

/** Words by which a shell knows where in the command line it is. */
const marksOf = (rows: readonly CommandRow[]) => ({
  commands: rows.slice(1).map(({ words }) => words),
  /** Options that the next word belongs to. */
  taking: rows.flatMap(({ words, options }) =>
    options.flatMap(({ names, values }) => (values === undefined ? [] : names.map((name) => `${words} ${name}`))),
  ),
});

/** What is after -- in `hardway vm up` is for `hardway up`. */
const passedOn = { from: 'hardway vm up --', to: 'hardway up' };

/**
 * Function that bash and zsh share. It reads the words before the cursor: `at` is the command, `count` the
 * number of its arguments so far, `taking` an option whose value comes next.
 */
const walk = (rows: readonly CommandRow[]): string => {
  const { commands, taking } = marksOf(rows);
  return `_hardway_walk() {
  local word
  at=hardway count=0 taking=
  for word; do
    if [[ -n $taking && $word != -* ]]; then
      taking=
      continue
    fi
    taking=
    case "$at $word" in
      ${commands.map(quote).join(' | ')}) at="$at $word" count=0 ;;
      ${quote(passedOn.from)}) at=${quote(passedOn.to)} count=0 ;;
      ${taking.map(quote).join(' | ')}) taking="$at $word" ;;
      *' -'*) ;;
      *) count=$((count + 1)) ;;
    esac
  done
}`;
};

/** Every place of a value, as bash and zsh name it, with its values. */
const places = (rows: readonly CommandRow[]): readonly (readonly [place: string, values: Values])[] =>
  rows.flatMap(({ words, options, arguments: list }) => [
    ...options.flatMap(({ names, values }) =>
      values === undefined ? [] : names.map((name) => [`${words} ${name}`, values] as const),
    ),
    ...list.map(({ values }, index) => [`${words} ${index}`, values] as const),
  ]);

/** Makes the lines of a case for every place that has values. */
const cases = (rows: readonly CommandRow[], lineOf: (values: Exclude<Values, 'any'>) => string): string =>
  places(rows)
    .flatMap(([place, values]) => (values === 'any' ? [] : [`    ${quote(place)}) ${lineOf(values)} ;;`]))
    .join('\n');

const listVms = `$(ls ${vmFolder} 2>/dev/null)`;

const bash = (
  rows: readonly CommandRow[],
): string => `# Completion of hardway for bash: source <(hardway completion bash)
${walk(rows)}

_hardway() {
  local word at count taking values='' cur=\${COMP_WORDS[COMP_CWORD]}
  local -a before=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
    [[ $word == = ]] || before+=("$word") # bash makes three words of --to=etcd
  done
  [[ $cur != = ]] || cur=
  _hardway_walk "\${before[@]}"
  [[ $cur != -* ]] || taking= # its value was left out
  case "\${taking:-$at $count}" in
${cases(rows, (values) => {
  if (values === 'folder') return 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return';
  return `values="${values === 'vm' ? listVms : values.join(' ')}"`;
})}
  esac
  if [[ -z $taking && ( $cur == -* || $count == 0 ) ]]; then
    case $at in
${rows
  .map(({ words, options, commands }) => {
    const names = options.flatMap((option) => option.names).join(' ');
    const own = commands.map(({ name }) => name).join(' ');
    return `      ${quote(words)}) if [[ $cur == -* ]]; then values='${names}'; else values+=' ${own}'; fi ;;`;
  })
  .join('\n')}
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$values" -- "$cur")
}
complete -F _hardway hardway
`;

const zsh = (rows: readonly CommandRow[]): string => {
  const offers = (list: readonly (readonly [name: string, text: string])[]): string =>
    list.map(([name, text]) => quote(`${name}:${firstLine(text)}`)).join(' ');
  return `#compdef hardway
# Completion of hardway for zsh, after compinit: source <(hardway completion zsh)
${walk(rows)}

_hardway() {
  local at count taking
  local -a offers
  _hardway_walk "\${(@)words[2,CURRENT-1]}"
  [[ $PREFIX != -* ]] || taking= # its value was left out
  if [[ $PREFIX == --*=* ]]; then
    taking="$at \${PREFIX%%=*}"
    compset -P '*='
  fi
  case "\${taking:-$at $count}" in
${cases(rows, (values) => {
  if (values === 'folder') return '_files -/; return';
  return values === 'vm' ? `offers=(\${(f)"${listVms}"})` : `offers=(${values.join(' ')})`;
})}
  esac
  if [[ -n $taking || ( $PREFIX != -* && $#offers -gt 0 ) ]]; then
    compadd -a offers
    return
  fi
  case $at in
${rows
  .map(({ words, options, commands }) => {
    const names = options.flatMap((option) => option.names.map((name) => [name, option.description] as const));
    const own = commands.map(({ name, summary }) => [name, summary] as const);
    return `    ${quote(words)}) if [[ $PREFIX == -* ]]; then offers=(${offers(names)}); elif (( count == 0 )); then offers=(${offers(own)}); fi ;;`;
  })
  .join('\n')}
  esac
  _describe hardway offers
}

if [[ $funcstack[1] == _hardway ]]; then _hardway; else compdef _hardway hardway; fi
`;
};

const fish = (rows: readonly CommandRow[]): string => {
  const { commands, taking } = marksOf(rows);
  const listed = (values: Values): string => {
    if (values === 'folder') return " -x -a '(__fish_complete_directories)'";
    if (values === 'vm') return ` -x -a '(ls ${vmFolder} 2>/dev/null)'`;
    return values === 'any' ? ' -x' : ` -x -a ${quoteFish(values.join(' '))}`;
  };
  const line = (words: string, rest: string, count?: number): string =>
    `complete -c hardway -n ${quoteFish(`__hardway_at ${quoteFish(words)}${count === undefined ? '' : ` ${count}`}`)}${rest}`;
  const lines = rows.flatMap(({ words, options, commands: own, arguments: list }) => [
    ...own.map(({ name, summary }) => line(words, ` -f -a ${name} -d ${quoteFish(firstLine(summary))}`, 0)),
    ...list.map(({ values }, index) => line(words, listed(values), index)),
    ...options.map(({ names, values, description }) => {
      const flags = names.map((name) => (name.startsWith('--') ? ` -l ${name.slice(2)}` : ` -s ${name.slice(1)}`));
      const value = values === undefined ? '' : listed(values);
      return line(words, `${flags.join('')}${value} -d ${quoteFish(firstLine(description))}`);
    }),
  ]);
  return `# Completion of hardway for fish: hardway completion fish | source
# Tells whether the cursor is at a command, and at which of its arguments.
function __hardway_at
    set -l at hardway
    set -l count 0
    set -l taking
    for word in (commandline -opc)[2..]
        if set -q taking[1]
            set -e taking[1]
            string match -q -- '-*' $word; or continue
        end
        switch "$at $word"
            case ${commands.map(quoteFish).join(' ')}
                set at "$at $word"
                set count 0
            case ${quoteFish(passedOn.from)}
                set at ${quoteFish(passedOn.to)}
                set count 0
            case ${taking.map(quoteFish).join(' ')}
                set taking yes
            case '* -*'
            case '*'
                set count (math $count + 1)
        end
    end
    test "$at" = "$argv[1]"; and test (count $argv) -eq 1 -o "$count" = "$argv[2]"
end
complete -c hardway -f
${lines.join('\n')}
`;
};

const scripts: Readonly<Record<Shell, (rows: readonly CommandRow[]) => string>> = { bash, zsh, fish };

/** Returns a script that teaches a shell the command line of these commands. */
export const completionFor = (shell: Shell, rows: readonly CommandRow[]): string => scripts[shell](rows);
