/** An element of DER (ITU-T X.690): its tag, and where its content is in the bytes that hold it. */
interface Element {
  readonly tag: number;
  readonly content: Buffer;
}

/** Reads the elements that follow each other in these bytes. Throws RangeError where they are torn. */
export const elementsOf = (der: Buffer): readonly Element[] => {
  const elements: Element[] = [];
  for (let at = 0; at < der.length; ) {
    const tag = der.readUInt8(at);
    const short = der.readUInt8(at + 1);
    // Above 127 it is the number of bytes of the length (8.1.3.5); a certificate has no more than four.
    const size = short < 0x80 ? 0 : short - 0x80;
    const length = size === 0 ? short : der.readUIntBE(at + 2, size);
    const begin = at + 2 + size;
    if (begin + length > der.length) throw new RangeError('the DER is torn');
    elements.push({ tag, content: der.subarray(begin, begin + length) });
    at = begin + length;
  }
  return elements;
};

/** Returns the content of the only element. */
const only = (der: Buffer): Buffer => elementsOf(der)[0]?.content ?? Buffer.alloc(0);

/** Tag of the version of a certificate, and that of its extensions: [0] and [3] (RFC 5280, 4.1). */
const tags = { version: 0xa0, extensions: 0xa3 } as const;

const fieldsOf = (certificate: Buffer): readonly Element[] => elementsOf(only(only(certificate)));

/** Returns the content of a certificate's subject, byte for byte. */
export const subjectBytes = (certificate: Buffer): Buffer => {
  const fields = fieldsOf(certificate).filter(({ tag }) => tag !== tags.version);
  // serialNumber, signature, issuer, validity, subject
  return fields[4]?.content ?? Buffer.alloc(0);
};

/** Extensions of a certificate that are looked at, by the bytes of their object identifiers (2.5.29.x) in hex. */
const identifiers = {
  subjectKeyIdentifier: '551d0e',
  keyUsage: '551d0f',
  basicConstraints: '551d13',
  nameConstraints: '551d1e',
} as const;

/** An extension: whether it is critical, and the DER in it. */
interface Extension {
  readonly critical: boolean;
  readonly value: Buffer;
}

/** Returns an extension of a certificate; undefined where it has none of that kind. */
export const extensionOf = (certificate: Buffer, kind: keyof typeof identifiers): Extension | undefined => {
  const held = fieldsOf(certificate).find(({ tag }) => tag === tags.extensions);
  const extensions = held ? elementsOf(only(held.content)) : [];
  for (const extension of extensions) {
    const parts = elementsOf(extension.content);
    if (parts[0]?.content.toString('hex') !== identifiers[kind]) continue;
    // identifier, critical (absent: no), value
    return { critical: parts.length > 2, value: parts.at(-1)?.content ?? Buffer.alloc(0) };
  }
  return undefined;
};

/** Returns the key identifier of a certificate; undefined where it has none. */
export const keyIdentifierOf = (certificate: Buffer): Buffer | undefined => {
  const extension = extensionOf(certificate, 'subjectKeyIdentifier');
  return extension && only(extension.value);
};

/** Most CAs that may stand between this CA and a certificate; undefined where it does not say it. */
export const pathLengthOf = (certificate: Buffer): number | undefined => {
  const extension = extensionOf(certificate, 'basicConstraints');
  const length = extension && elementsOf(only(extension.value)).find(({ tag }) => tag === 0x02);
  return length?.content.readUIntBE(0, length.content.length);
};

/** Tells whether a certificate says of itself that its key signs certificates: bit 5 of keyUsage (RFC 5280, 4.2.1.3). */
export const saysCertSign = (certificate: Buffer): boolean => {
  const extension = extensionOf(certificate, 'keyUsage');
  // A BIT STRING begins with the number of unused bits.
  return extension !== undefined && ((only(extension.value)[1] ?? 0) & 0x04) !== 0;
};

/** Tells whether a certificate says of itself that it is a CA's: the BOOLEAN of basicConstraints. */
export const saysAuthority = (certificate: Buffer): boolean => {
  const extension = extensionOf(certificate, 'basicConstraints');
  return elementsOf(only(extension?.value ?? Buffer.alloc(0))).some(
    ({ tag, content }) => tag === 0x01 && content[0] !== 0,
  );
};
