import { expect, test } from 'vitest';
import { goArguments, goMod } from '../../../lib/binaries/go.ts';
import { productOf, versions } from '../../../lib/binaries/versions.ts';

test('go.mod requires the modules of a product at its version, with its replacements', () => {
  const text = goMod({
    version: 'v1.2.3',
    modules: ['a.io/x', 'a.io/y'],
    replace: ['b.io/z => c.io/z v4.5.6'],
    packages: {},
  });
  expect(text).toBe(`module hardway.local/build

go 1.26

require a.io/x v1.2.3
require a.io/y v1.2.3
replace b.io/z => c.io/z v4.5.6
`);
});

test('all 33 staging modules of Kubernetes are replaced, as its own module names none of their versions', () => {
  expect(goMod(productOf('kubelet').product).match(/^replace k8s\.io\//gm)).toHaveLength(33);
});

test('the Kubernetes daemons get the version variables without which they panic', () => {
  const ldflags = goArguments(productOf('kubelet').product, 'kubelet', 'amd64', '/out').find((one) =>
    one.startsWith('-ldflags'),
  );
  for (const package_ of ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version']) {
    for (const name of ['gitVersion', 'gitMajor', 'gitMinor', 'gitCommit', 'gitTreeState', 'buildDate']) {
      expect(ldflags).toContain(`-X ${package_}.${name}=`);
    }
  }
  expect(ldflags).toContain('.gitVersion=v1.36.3');
});

test('nothing of the machine or the day gets into a binary', () => {
  for (const { packages } of Object.values(versions().products)) {
    for (const binary of Object.keys(packages)) {
      const words = goArguments(productOf(binary).product, binary, 'amd64', '/out');
      expect(words).toContain('-trimpath');
      expect(words).toContain('-buildvcs=false');
    }
  }
});

test('the shim has the tags of its product and its own', () => {
  const { product } = productOf('containerd-shim-runc-v2');
  const tags = goArguments(product, 'containerd-shim-runc-v2', 'amd64', '/out').find((one) => one.startsWith('-tags'));
  expect(tags).toBe('-tags=urfave_cli_no_docs,no_btrfs,no_zfs,no_devmapper,no_grpc');
});

test('runc, which is partly C, is linked whole', () => {
  const ldflags = goArguments(productOf('runc').product, 'runc', 'amd64', '/out').find((one) =>
    one.startsWith('-ldflags'),
  );
  expect(ldflags).toContain('-extldflags -static');
});
