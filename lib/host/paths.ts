/** Every place on the machine that hardway uses. Nothing else spells these paths. */
export const root = '/var/lib/hardway';
export const cache = process.env['HARDWAY_CACHE'] ?? '/var/cache/hardway';
export const paths = {
  root,
  /** Binaries in use by this lab, one file a name. */
  bin: `${root}/bin`,
  certs: `${root}/certs`,
  kubeconfigs: `${root}/kubeconfigs`,
  /** Configuration files of the daemons. */
  config: `${root}/config`,
  etcd: `${root}/etcd`,
  logs: `${root}/logs`,
  /** Manifests that the story applies, for a learner to read and to apply again. */
  demo: `${root}/demo`,
  state: `${root}/state.json`,
  /** What observations printed, for the hand-out. */
  seen: `${root}/seen.json`,
  ledger: `${root}/ledger.jsonl`,
  /** What this machine was like before the first change. */
  picture: `${root}/picture.json`,
  /** Files that stood where we wrote ours, kept for reset. */
  before: `${root}/before`,
  units: '/etc/systemd/system',
  links: '/usr/local/bin',
  lock: '/run/hardway.lock',
  settings: '/etc/hardway.yaml',
  cache,
  images: `${cache}/images`,
  /** Throw-away VMs, one folder a name. */
  vms: '/var/lib/hardway-vms',
} as const;
