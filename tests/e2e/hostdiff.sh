#!/bin/sh
# hostdiff.sh FOLDER: writes what this machine is like into FOLDER, a file a subject, a line a fact.
# hostdiff.sh FOLDER OTHER: prints the lines that differ between two such folders; exit code 1 where there are any.
#
# A second opinion on `hardway reset`, which compares the machine with itself too: this one is plain shell, shares no
# code with it and knows nothing of hardway but its own folders.
set -eu
export LC_ALL=C PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH"

if [ $# -eq 2 ]; then
  if diff -r -U0 "$1" "$2" | grep -v '^\(---\|+++\|@@\|diff \)' | grep .; then exit 1; fi
  exit
fi
[ $# -eq 1 ] || { echo 'hostdiff.sh FOLDER [OTHER]' >&2; exit 2; }
out=$1
mkdir -p "$out"

# Everything that asks the kernel comes first: asking may load modules, and they must be there in both looks.
for save in iptables-nft-save ip6tables-nft-save iptables-legacy-save ip6tables-legacy-save; do
  # Without comments and counters; a built-in chain that accepts everything is there as soon as somebody asks.
  { $save 2>/dev/null || :; } | sed 's/\[[0-9]*:[0-9]*\]$//; /^#/d; /^:[A-Z]* ACCEPT/d; /^\*/d; /^COMMIT/d' >"$out/$save.txt"
done
{ nft --stateless list ruleset 2>/dev/null || :; } |
  awk '/^table / { table = $2 " " $3 } /^\t(chain|set|map) / { print table, $1, $2 } /^\t\t/ { print table, $0 }' |
  grep -v '^ip6* \(raw\|mangle\|nat\|filter\|security\)\( \|$\)' >"$out/nft.txt" || :
{ ipset save 2>/dev/null || :; } | sort >"$out/ipset.txt"
ip -d -o link | sed 's/^[0-9]*: //; s/@if[0-9]*//; s/ \(qlen\|qdisc\|state\|numtxqueues\|gso_max\|tso_max\|gro_max\|addrgenmode\).*//' | sort >"$out/link.txt"
ip -o address | awk '{ print $2, $3, $4 }' | sort >"$out/address.txt"
for family in -4 -6; do
  ip "$family" route show table all | grep -v 'table local\|^multicast\|proto ra' | sed 's/ \(expires\|error\) [^ ]*//g'
  ip "$family" rule
done | sort >"$out/route.txt"
ls -A /run/netns 2>/dev/null >"$out/netns.txt" || :
ss -Hltn | awk '{ print $4 }' | sort -u >"$out/listener.txt"

# Mounts by place, type and source; those of sessions and single commands come and go.
awk '{ for (i = 7; i <= NF; i++) if ($i == "-") break; print $5, $(i + 1), $(i + 2) }' /proc/self/mountinfo |
  grep -v '^/run/\(user\|credentials\)/\|^/proc/sys/fs/binfmt_misc' | sort >"$out/mount.txt"
find /sys/fs/cgroup -type d 2>/dev/null | grep -v '\.\(service\|scope\|mount\|socket\|swap\)\(/\|$\)\|user\.slice\|/system-[^/]*\.slice' |
  sort >"$out/cgroup.txt"

systemctl list-unit-files --no-legend --no-pager | awk '{ print $1, $2 }' | grep -v '\.\(scope\|mount\) ' | sort >"$out/unit-file.txt"
systemctl list-units --no-legend --no-pager --plain --state=active,failed --type=service |
  awk '{ print $1, $3 }' | grep -v '^\(user@\|user-runtime\|session-\|run-\|apt-\|systemd-\|man-db\|getty\|modprobe@\)' |
  sort >"$out/unit.txt"
getent passwd >"$out/account.txt"
getent group >>"$out/account.txt"
{ dpkg-query -W -f '${Package} ${Version} ${Status}\n' 2>/dev/null || :; } >"$out/package.txt"

# A container shares the parameters outside net. and the modules with others.
if [ -e /run/systemd/container ]; then wanted='^net\.'; else wanted='^\(net\|vm\|kernel\.panic\|kernel\.keys\)'; fi
sysctl -a 2>/dev/null | grep "$wanted" |
  grep -v 'nf_conntrack_count\|\.stat\|random\|_entries\|icmp_msgs\|route\.flush\|ipv6\.route\.gc\|mptcp\|\.\(neigh\|conf\)\.lo\.\|\.mtu\|tcp_fastopen_key\|stable_secret\|tcp_mem\|udp_mem\|min_free\|tcp_available\|stat_refresh' |
  sort >"$out/sysctl.txt"
[ -e /run/systemd/container ] || awk '{ print $1 }' /proc/modules | sort >"$out/module.txt"

# Files with type, mode, owner and content. Of other file systems only the mount point counts. What the system itself
# rewrites while nobody does anything is left out.
quiet='^/var/lib/hardway\(-vms\)\?\(/\|$\)\|^/var/cache/hardway\(/\|$\)\|^/run/hardway
^/var/lib/\(systemd\|apt\|dpkg\|ucf\|private\|logrotate\|dhcp\|NetworkManager\|chrony\|polkit-1\)/
^/run/\(systemd\|udev\|log\|lock\|user\|sudo\|credentials\|dbus\|mount\|NetworkManager\|motd\|agetty\|initctl\|utmp\|xtables\.lock\)
^/run/[^/]*\.\(pid\|lock\)$\|^/run/\(netns\|host\|ufw\.lock\)\(/\|$\)
^/etc/\(mtab\|ld\.so\.cache\|resolv\.conf\|adjtime\|\.pwd\.lock\|\.updated\)$
^/\(root\|home/[^/]*\)/\(\.cache\|\.npm\|\.local\|\.config\|\.bash_history\|\.lesshst\|\.wget-hsts\)\(/\|$\)'
for root in /etc /opt /usr/local /var/lib /var/log/pods /var/log/containers /var/log/calico /run /root /home /srv; do
  [ ! -e "$root" ] || find "$root" -xdev -printf '%p\t%y %m %U:%G %l\n' 2>/dev/null
done | grep -v "$quiet" | sort >"$out/file.txt"
for root in /etc /opt /usr/local /root /home /srv; do
  [ ! -e "$root" ] || find "$root" -xdev -type f -size -2048k -exec sha256sum {} + 2>/dev/null
done | sed 's/^\([^ ]*\)  \(.*\)/\2 \1/' | grep -v "$quiet" | sort >"$out/content.txt"
