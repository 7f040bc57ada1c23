const gone = '***';

/** Words in the name of a field, a flag or a variable whose value is a secret. */
const secretName =
  'password|passwd|passphrase|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|key-data|credential|authorization(?![-\\w])|cookie';

/** Texts that are no secret, whatever they are the value of: an absolute path, a truth value, nothing. */
const harmless = /^["']?(\/[\w./-]*|true|false|null|undefined|)["']?$/;

type Rule = readonly [pattern: RegExp, replace: (found: string, first: string, second: string) => string];

/** What looks like a secret, wherever it stands, and what is put in its place; each works on what the one before left. */
const rules: readonly Rule[] = [
  // A private key, also one in JSON, whose line breaks are \n, and one that ends where a log was cut.
  [
    /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|$)/g,
    () => `${gone} private key`,
  ],
  // PEM in base64, as a kubeconfig has it.
  [/\bLS0tLS1CRUdJTi[A-Za-z0-9+/=]+/g, () => gone],
  // Name and password in an address; there may be an @ in the password.
  [/:\/\/[^\s/"'<>]+@/g, () => `://${gone}@`],
  [/\b(Bearer|Basic|Digest)(\s+)[\w+/=.~-]{6,}/gi, (_, kind, blank) => `${kind}${blank}${gone}`],
  // A JSON Web Token, such as that of a ServiceAccount.
  [/\beyJ[\w-]{8,}\.[\w-]+(\.[\w-]*)?/g, () => gone],
  // Tokens that say by their beginning whose they are, and those of kubeadm.
  [/\b(gh[pousr]_|github_pat_|glpat-|xox[a-z]-|sk-|npm_|AKIA|ASIA)[\w-]{10,}/g, () => gone],
  [/(?<![\w.])[a-z0-9]{6}\.[a-z0-9]{16}(?![\w.])/g, () => gone],
  // name: value, "name": "value", --name=value, NAME='value', --name value
  [
    new RegExp(
      String.raw`([\w.-]*(?:${secretName})[\w-]*\\?["']?(?:\s*[:=]\s*|(?<=--[\w-]+)\s+(?!-)))(\\?"(?:\\.|[^"\\])*"|'[^']*'|[^\s,;&}\]]+)`,
      'gi',
    ),
    (found, name, value) => (harmless.test(value) ? found : name + gone),
  ],
  // 16 bytes or more in hex lose all but their beginning, which tells containers apart; the sum of a public file stays.
  [/(?<!sha256:)\b([0-9a-f]{12})[0-9a-f]{20,}\b/gi, (_, start) => start + gone],
  // 24 bytes or more in base64, also in its form for addresses: capital and small letters and digits.
  [/(?<![\w+/.-])(?=[\w+/-]*[A-Z])(?=[\w+/-]*[a-z])(?=[\w+/-]*\d)(?!\/)[\w+/-]{32,}={0,2}/g, () => gone],
];

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

/** Returns the secrets of an environment: values of variables that are named so, and passwords in addresses. */
export const secretsIn = (environment: Readonly<Record<string, string | undefined>>): readonly string[] => {
  const named = new RegExp(secretName, 'i');
  const found = Object.entries(environment).flatMap(([name, value = '']) => {
    const password = /:\/\/[^:/@\s]*:(\S*)@/.exec(value)?.[1];
    return [...(named.test(name) ? [value] : []), ...(password ? [password, decoded(password)] : [])];
  });
  return found.filter((secret) => secret.length >= 4).toSorted((a, b) => b.length - a.length);
};

/** Takes out of a text the secrets that are known, and all that looks like a secret, a token, a key or a password. */
export const redacted = (text: string, known: readonly string[] = secretsIn(process.env)): string =>
  rules.reduce(
    (rest, [pattern, replace]) => rest.replace(pattern, replace),
    known.reduce((rest, secret) => rest.replaceAll(secret, gone), text),
  );
