import { isIPv4, isIPv6 } from 'node:net';
import { z } from 'zod';

/** Names of key usages, as cfssl has them. */
const usages = [
  'digital signature',
  'key encipherment',
  'cert sign',
  'crl sign',
  'server auth',
  'client auth',
] as const;

const text = z.string().min(1);

/** A part of a subject: no line breaks, and no blanks around it, which openssl's request file drops. */
const part = (mostCharacters: number) =>
  text
    .max(mostCharacters)
    .regex(/^\S(.*\S)?$/, 'begins or ends with a blank, or has a line break')
    .refine((value) => !/\p{Cc}/u.test(value), 'has a control character');

/** Parts of a subject, with the upper bounds of RFC 5280, appendix A. */
const names = z.array(
  z.strictObject({
    C: z
      .string()
      .regex(/^[A-Z]{2}$/, 'is not the code of a country, such as FR')
      .optional(),
    ST: part(128).optional(),
    L: part(128).optional(),
    O: part(64).optional(),
    OU: part(64).optional(),
  }),
);

/** Tells whether a certificate can name a host: an address, or a DNS name (RFC 1123, 2.1; RFC 1035, 2.3.4). */
const isHost = (host: string): boolean => {
  if (isIPv4(host) || (isIPv6(host) && !/[%.]/.test(host))) return true;
  const labels = host.split('.');
  // 10.240.0.300 is an address with a mistake in it.
  const isNoAddress = labels.length === 1 || !labels.every((label) => /^\d+$/.test(label));
  return (
    isNoAddress &&
    host.length <= 253 &&
    labels.every((label) => /^[0-9a-zA-Z]([0-9a-zA-Z-]{0,61}[0-9a-zA-Z])?$/.test(label))
  );
};

/** DNS names and IP addresses: the SANs. */
const hosts = z
  .array(text.refine(isHost, 'is neither a DNS name nor an IP address'))
  // Removes duplicates: a node may be called `kubernetes`, as the Service is.
  .transform((all) => [...new Set(all)]);

const years = z.int().min(1).max(100);

const key = z.strictObject({
  algo: z.literal('rsa').default('rsa'),
  /** Bits. */
  size: z.literal([2048, 3072, 4096]),
});

/** A file of certs-templates/. CN, names, hosts, key and usages mean what they mean to cfssl. */
export const template = z.strictObject({
  /** Common name. Absent: a key pair without a certificate. */
  CN: text.optional(),
  names: names.default([]),
  hosts: hosts.default([]),
  /** The CA that signs it. Absent, with a CN: a CA that signs itself. */
  signer: text.optional(),
  usages: z.array(z.enum(usages)).default([]),
  years: years.default(1),
  /** Validity in days, before `years`. */
  days: z.int().optional(),
  key: key.default({ algo: 'rsa', size: 2048 }),
  /** Other names under which it is stored too: one certificate in place of several. */
  also: z.array(text).default([]),
});

export type Template = z.infer<typeof template>;

/** A file of --certs-templates: what a person may have otherwise. */
export const ownTemplate = z
  .strictObject(
    {
      CN: part(64).optional(),
      names: names.optional(),
      hosts: hosts.optional(),
      years: years.optional(),
      // `hardway up` makes anew what ends within 30 days.
      days: z.int().min(60).max(36_500).optional(),
      key: key.optional(),
    },
    {
      error: ({ code }) =>
        code === 'unrecognized_keys'
          ? 'this cannot be otherwise; what can is CN, names, hosts, years, days and key'
          : undefined,
    },
  )
  .refine(({ years: inYears, days }) => inYears === undefined || days === undefined, {
    path: ['days'],
    error: 'the validity is in years or in days, not in both',
  });
