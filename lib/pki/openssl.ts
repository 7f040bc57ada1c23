import { isIP } from 'node:net';
import { quoted } from '../host/run.ts';
import { type CertificateRequest, extendedUsages, isAuthority, subjectOf } from './templates.ts';

const keyUsages: Readonly<Record<string, string>> = {
  'digital signature': 'digitalSignature',
  'key encipherment': 'keyEncipherment',
  'cert sign': 'keyCertSign',
  'crl sign': 'cRLSign',
};

const lineOf = (name: string, values: readonly string[]): readonly string[] =>
  values.length > 0 ? [`${name} = ${values.join(', ')}`] : [];

/** Writes a value of openssl's request file: none of these characters means itself there (config(5)). */
const escaped = (value: string): string => value.replaceAll(/[\\#$"'`]/g, '\\$&');

/** Returns openssl's request file for a certificate: its subject and its extensions. */
const requestFile = (request: CertificateRequest): string => {
  const { usages, hosts } = request;
  const hostNames = hosts.map((host) => `${isIP(host) ? 'IP' : 'DNS'}:${host}`);
  return [
    '[req]',
    'prompt = no',
    'utf8 = yes',
    'string_mask = utf8only',
    'distinguished_name = subject',
    '[subject]',
    // The number in front allows the same part twice.
    ...subjectOf(request).map(({ part, value }, index) => `${index}.${part} = ${escaped(value)}`),
    '[extensions]',
    `basicConstraints = critical, CA:${isAuthority(request) ? 'TRUE' : 'FALSE'}`,
    `keyUsage = critical, ${usages.flatMap((usage) => keyUsages[usage] ?? []).join(', ')}`,
    ...lineOf(
      'extendedKeyUsage',
      usages.flatMap((usage) => extendedUsages[usage]?.openssl ?? []),
    ),
    'subjectKeyIdentifier = hash',
    'authorityKeyIdentifier = keyid',
    ...lineOf('subjectAltName', hostNames),
  ].join('\n');
};

/**
 * Returns the shell commands that make a certificate and its key with openssl in the current folder. Those of its
 * signer must run before. They contain no key: each run makes its own.
 */
export const opensslCommands = (request: CertificateRequest): readonly string[] => {
  const { name, CN, signer, also, given, chain, key } = request;
  if (given)
    return [
      quoted(['openssl', 'x509', '-in', given.certificate, '-out', `${name}.pem`]),
      quoted(['openssl', 'pkey', '-in', given.key, '-out', `${name}-key.pem`]),
    ];
  if (CN === undefined)
    return [
      `openssl genrsa -out ${name}-key.pem ${key.size}`,
      `openssl rsa -in ${name}-key.pem -pubout -out ${name}.pem`,
    ];
  const days = request.days ?? 365 * request.years;
  const config = [`cat >${name}.cnf <<'EOF'`, requestFile(request), 'EOF'];
  const making = `-newkey rsa:${key.size} -nodes -keyout ${name}-key.pem -config ${name}.cnf`;
  const made = signer
    ? [
        `openssl req -new ${making} -out ${name}.csr`,
        `openssl x509 -req -in ${name}.csr -CA ${signer}.pem -CAkey ${signer}-key.pem -CAcreateserial -days ${days} -extfile ${name}.cnf -extensions extensions -out ${name}.pem`,
      ]
    : [`openssl req -x509 -new ${making} -extensions extensions -days ${days} -out ${name}.pem`];
  const shown = chain ? [`cat >>${name}.pem <<'EOF'`, chain.trimEnd(), 'EOF'] : [];
  const copies =
    also.length > 0
      ? [`for name in ${also.join(' ')}; do cp ${name}.pem $name.pem; cp ${name}-key.pem $name-key.pem; done`]
      : [];
  return [...config, ...made, ...shown, ...copies];
};
