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

/** A file of certs-templates/. CN, names, hosts and usages mean what they mean to cfssl. */
export const template = z.strictObject({
  /** Common name. Absent: a key pair without a certificate. */
  CN: text.optional(),
  names: z
    .array(
      z.strictObject({
        C: z.string().length(2).optional(),
        ST: text.optional(),
        L: text.optional(),
        O: text.optional(),
        OU: text.optional(),
      }),
    )
    .default([]),
  /** DNS names and IP addresses: the SANs. */
  hosts: z
    .array(text.regex(/^[0-9a-zA-Z.:-]+$/, 'is neither a DNS name nor an IP address'))
    .default([])
    // Removes duplicates: a node may be called `kubernetes`, as the Service is.
    .transform((hosts) => [...new Set(hosts)]),
  /** The CA that signs it. Absent, with a CN: a CA that signs itself. */
  signer: text.optional(),
  usages: z.array(z.enum(usages)).default([]),
  years: z.int().min(1).max(100).default(1),
  /** Other names under which it is stored too: one certificate in place of several. */
  also: z.array(text).default([]),
});

export type Template = z.infer<typeof template>;
