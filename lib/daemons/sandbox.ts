/**
 * What systemd keeps from a daemon that needs the network, its own program and the files that its flags name, and nothing
 * else (systemd.exec(5)). One setting a line; docs/security.md says what they are for.
 */
const common: readonly string[] = [
  'NoNewPrivileges=yes',
  'ProtectSystem=strict',
  'ProtectHome=yes',
  'PrivateTmp=yes',
  'PrivateDevices=yes',
  'ProtectProc=invisible',
  'ProtectKernelModules=yes',
  'ProtectKernelLogs=yes',
  'ProtectControlGroups=yes',
  'ProtectClock=yes',
  'ProtectHostname=yes',
  'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
  'RestrictNamespaces=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'LockPersonality=yes',
  'MemoryDenyWriteExecute=yes',
  'SystemCallArchitectures=native',
  'SystemCallFilter=@system-service',
  'SystemCallFilter=~@privileged',
  'SystemCallErrorNumber=EPERM',
  'UMask=0077',
];

/** Settings for a daemon under an account of its own: no capability at all, and no kernel parameter. */
export const accountSandbox: readonly string[] = [
  ...common,
  'CapabilityBoundingSet=',
  'ProtectKernelTunables=yes',
  'RemoveIPC=yes',
];

/** Settings for a daemon that stays root's: of root's rights only these capabilities, and one folder to write to. */
export const rootSandbox = (capabilities: readonly string[], writes: string): readonly string[] => [
  ...common,
  `CapabilityBoundingSet=${capabilities.join(' ')}`,
  `ReadWritePaths=${writes}`,
];
