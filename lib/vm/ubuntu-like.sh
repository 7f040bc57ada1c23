#!/bin/sh
# Run in a new tree with chroot, in a network namespace of its own: what an Ubuntu cloud image has and a bare Debian
# has not, as far as the lab can feel it. For tests; see packages.ts for the packages.
set -eu

# A person who is not root.
useradd --create-home --shell /bin/bash learner
echo 'learner ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/learner
chmod 440 /etc/sudoers.d/learner

# Names are asked of a stub on loopback, which a Pod cannot reach.
ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf

# A firewall that lets in ssh only and forwards nothing.
ufw allow 22/tcp >/dev/null
sed -i 's/^ENABLED=.*/ENABLED=yes/' /etc/ufw/ufw.conf

# Swap. Not a part of the image: a swap file must not have holes. A container would get that of its host.
cat >/etc/systemd/system/first-swap.service <<'UNIT'
[Unit]
ConditionPathExists=!/swapfile
ConditionVirtualization=!container
[Service]
Type=oneshot
ExecStart=/bin/sh -ec 'fallocate -l 512M /swapfile; chmod 600 /swapfile; mkswap /swapfile; echo "/swapfile none swap sw 0 0" >>/etc/fstab; swapon /swapfile'
[Install]
WantedBy=multi-user.target
UNIT
systemctl enable first-swap.service ufw.service systemd-resolved.service 2>/dev/null
