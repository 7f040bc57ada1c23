import { setTimeout as sleep } from 'node:timers/promises';
import { readBytes } from '../host/files.ts';

/**
 * Reads the keys of a bolt database (go.etcd.io/bbolt, its page.go and bucket.go), the format of containerd's metadata.
 * Its pages are little-endian and each begins with id, flags, count and overflow in 16 bytes.
 */
interface Bucket {
  /** Key of each entry, and the bucket where it is one. */
  readonly entries: ReadonlyMap<string, Bucket | undefined>;
}

const headerSize = 16;
const elementSize = 16;
const magic = 0xed0cdaed;
const isBranch = 0x01;
const isLeaf = 0x02;
const isBucket = 0x01;

/** Reads the entries of a leaf page, or of all leaves below a branch page. */
const readPage = (file: Buffer, pageSize: number, page: Buffer): [string, Bucket | undefined][] => {
  const flags = page.readUInt16LE(8);
  const elements = Array.from({ length: page.readUInt16LE(10) }, (_, index) =>
    page.subarray(headerSize + index * elementSize),
  );
  if (flags & isBranch)
    return elements.flatMap((one) =>
      readPage(file, pageSize, file.subarray(Number(one.readBigUInt64LE(8)) * pageSize)),
    );
  if (!(flags & isLeaf)) throw new Error('a page of the database is neither branch nor leaf');
  return elements.map((one) => {
    const [kind, at, keySize] = [one.readUInt32LE(0), one.readUInt32LE(4), one.readUInt32LE(8)];
    const key = one.toString('utf8', at, at + keySize);
    return [key, kind & isBucket ? readBucket(file, pageSize, one.subarray(at + keySize)) : undefined];
  });
};

/** Reads a bucket: the id of its root page, a sequence, and the page itself where the id is 0. */
const readBucket = (file: Buffer, pageSize: number, value: Buffer): Bucket => {
  const root = Number(value.readBigUInt64LE(0));
  return {
    entries: new Map(readPage(file, pageSize, root === 0 ? value.subarray(16) : file.subarray(root * pageSize))),
  };
};

const readBolt = (file: Buffer): Bucket => {
  const pageSize = file.readUInt32LE(headerSize + 8);
  const metas = [0, 1]
    .map((index) => file.subarray(index * pageSize + headerSize))
    .filter((meta) => meta.length >= 64 && meta.readUInt32LE(0) === magic)
    .toSorted((a, b) => Number(b.readBigUInt64LE(48) - a.readBigUInt64LE(48)));
  if (!metas[0]) throw new Error('this is no bolt database');
  return readBucket(file, pageSize, metas[0].subarray(16));
};

/** Most bytes of a database that is read: one of a machine with thousands of images has less. */
const mostBytes = 2 ** 30;

/** Milliseconds between two readings of a database that containerd may just be writing. */
const pauseMs = 200;

const readMetadata = async (path: string, attempts = 3): Promise<Bucket | undefined> => {
  try {
    return readBolt(await readBytes(path, mostBytes));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    if (attempts === 1) throw error;
    await sleep(pauseMs);
    return readMetadata(path, attempts - 1);
  }
};

/**
 * Lists the namespaces that have a container or an image in containerd's data, whether containerd runs or not
 * (containerd's core/metadata/buckets.go: v1, namespace, kind). Empty where there is no data. Throws where they cannot be
 * read: then any namespace may have some.
 */
export const namespacesWithData = async (root: string): Promise<readonly string[]> => {
  const metadata = await readMetadata(`${root}/io.containerd.metadata.v1.bolt/meta.db`);
  const namespaces = metadata?.entries.get('v1')?.entries ?? new Map<string, Bucket | undefined>();
  const has = (namespace: Bucket | undefined, kind: string): boolean =>
    (namespace?.entries.get(kind)?.entries.size ?? 0) > 0;
  return [...namespaces].flatMap(([name, one]) => (has(one, 'images') || has(one, 'containers') ? [name] : []));
};
