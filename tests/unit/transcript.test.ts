import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { commandsOf } from '../../bin/teach/script.ts';
import type { LedgerEntry } from '../../lib/engine/ledger.ts';
import type { Deed, Undo } from '../../lib/host/change.ts';
import { opensslCommands } from '../../lib/pki/openssl.ts';
import { requestsFor } from '../../steps/certificates.ts';
import { oddLab, plainLab, scratchFolder } from '../fixtures.ts';

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
beforeEach(async () => {
  scratch = await scratchFolder();
});
afterEach(() => scratch.remove());

const entry = (deed: Deed, undo: Undo): LedgerEntry => ({ at: '', step: 'etcd', do: deed, undo });
const nothingByHand = async () => undefined;

describe('the changes of a step as commands', () => {
  test('a folder and a file come as they are now, each once, a command as it was run', async () => {
    const folder = `${scratch.path}/config`;
    const file = `${folder}/a.yaml`;
    await mkdir(folder, { mode: 0o700 });
    await writeFile(file, 'new: $HOME\n');
    await chmod(file, 0o600);
    const write = entry({ kind: 'write', path: file }, { kind: 'remove', path: file });
    const start = entry(
      { kind: 'run', argv: ['systemctl', 'start', 'etcd.service'] },
      { kind: 'unit', name: 'etcd', supervisor: 'systemd' },
    );
    const made = entry({ kind: 'make-dir', path: folder }, { kind: 'remove-tree', path: folder });
    expect(await commandsOf([made, write, start, write, start], nothingByHand)).toEqual([
      `mkdir -p -m 700 ${folder}`,
      `cat >${file} <<'EOF'`,
      'new: $HOME',
      'EOF',
      `chmod 600 ${file}`,
      'systemctl start etcd.service',
    ]);
  });

  test('what is gone, and what a daemon makes by itself, is left out', async () => {
    const socket = `${scratch.path}/socket`;
    await writeFile(socket, '');
    const entries = [
      entry({ kind: 'write', path: `${scratch.path}/gone` }, { kind: 'remove', path: `${scratch.path}/gone` }),
      entry({ kind: 'expect', path: socket, why: 'tmux listens on' }, { kind: 'remove', path: socket }),
    ];
    expect(await commandsOf(entries, nothingByHand)).toEqual([]);
  });

  test('what must not be shown is made by other commands', async () => {
    const key = `${scratch.path}/a-key.pem`;
    await writeFile(key, 'secret');
    const entries = [entry({ kind: 'write', path: key }, { kind: 'remove', path: key })];
    expect(await commandsOf(entries, async () => ['openssl genrsa'])).toEqual(['openssl genrsa']);
  });
});

describe('certificates with openssl', () => {
  const commandsFor = async (lab: typeof plainLab, name: string): Promise<string> => {
    const request = (await requestsFor(lab)).find((one) => one.name === name);
    if (!request) throw new Error(`no request ${name}`);
    return opensslCommands(request).join('\n');
  };

  test('a CA signs itself, and may sign others', async () => {
    const commands = await commandsFor(plainLab, 'ca');
    expect(commands).toContain('openssl req -x509 -new ');
    expect(commands).toContain('basicConstraints = critical, CA:TRUE');
    expect(commands).toContain('keyUsage = critical, digitalSignature, keyCertSign, cRLSign');
  });

  test('a server has its names as SANs and is signed by its CA', async () => {
    const commands = await commandsFor(plainLab, 'apiserver');
    expect(commands).toContain(
      'subjectAltName = IP:127.0.0.1, DNS:localhost, DNS:lab-1, IP:10.240.0.10, IP:10.32.0.1, DNS:kubernetes',
    );
    expect(commands).toContain('-CA ca.pem -CAkey ca-key.pem');
    expect(commands).toContain('extendedKeyUsage = serverAuth');
  });

  test('a key pair without a certificate gets none', async () => {
    expect(await commandsFor(plainLab, 'service-account')).not.toContain('x509');
  });

  test('the guide’s one certificate is put in every place, its accents kept', async () => {
    const commands = await commandsFor(oddLab, 'admin');
    expect(commands).toContain('O = system:masters');
    expect(commands).toContain('Démystifions');
    expect(commands).toMatch(/for name in apiserver .*kubelet .*; do cp admin\.pem \$name\.pem; cp admin-key\.pem/);
  });
});
