/** What a VM is kept from, and what it is not: a container shares this machine's kernel. */
export const boundary = `
What a VM is kept from: by accident it writes nothing to this machine, neither
to the cache of hardway nor to its kernel parameters, and it reaches no network
but with --net. But the kernel of a container VM is this machine's, and root in
it is root of that kernel, without a user namespace: it keeps accidents in, not
an attacker. For programs that you do not trust there is --kind qemu, which has
a kernel of its own.

For example:
  hardway vm up lab`;
