#!/bin/sh
# One container VM, three stages. lib/vm/container.ts calls `run` and `enter`; `run` calls `boot`.
#   run   FOLDER TREE CACHE NET PORT NSPAWN-ARGS...  keep it running: a reboot inside boots it again, a power-off ends this
#   boot  FOLDER TREE CACHE NET PORT NSPAWN-ARGS...  in mount and network namespaces of its own: disk, network card, systemd-nspawn
#   enter INIT COMMAND...                 run a command beside the systemd that is process INIT here
# All mounts and links live in those namespaces, so they are gone with the last process, however it ended.
set -eu
stage=$1

# within_10s COMMAND...: waits until COMMAND succeeds; ends the script with what it waited for when that takes longer.
within_10s() {
  tries=0
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 500 ] || {
      echo "$*: not so within 10 s" >&2
      exit 1
    }
    sleep 0.02
  done
}

run() {
  folder=$2 net=$5 port=$6
  while read -r cgroup; do
    # Version 2 gives controllers only to a cgroup without own processes: systemd-nspawn leaves it, this script stays.
    if [ -e "$cgroup/cgroup.controllers" ]; then
      cgroup=$cgroup/keeper
      mkdir -p "$cgroup"
    fi
    echo $$ >"$cgroup/cgroup.procs"
  done <"$folder/cgroups"
  shift
  while :; do
    # Kills the VM with this script: no process of it may outlive the script.
    setpriv --pdeathsig KILL unshare --mount --net --propagation private sh "$0" boot "$@" &
    vm=$!
    echo "$vm" >"$folder/nspawn.pid"
    # shellcheck disable=SC2317 # within_10s calls it
    has_own_network() { [ "$(readlink "/proc/$vm/ns/net" || echo gone)" != "$(readlink /proc/$$/ns/net)" ]; }
    within_10s has_own_network
    # The way to the API server inside. This machine's network has the socket, the VM's the program that gets it at the
    # first connection.
    setpriv --pdeathsig KILL systemd-socket-activate --listen="127.0.0.1:$port" \
      nsenter --net="/proc/$vm/ns/net" /lib/systemd/systemd-socket-proxyd 127.0.0.1:6443 &
    api=$!
    wan=
    if [ "$net" = net ]; then
      setpriv --pdeathsig KILL slirp4netns --cidr=10.240.0.0/24 --disable-host-loopback "$vm" eth0 &
      wan=$!
    fi
    code=0
    wait "$vm" || code=$?
    for helper in $api $wan; do kill "$helper" 2>/dev/null || :; done
    # systemd-nspawn --keep-unit ends with 133 for a reboot.
    [ "$code" = 133 ] || exit "$code"
  done
}

boot() {
  folder=$2 tree=$3 cache=$4 net=$5
  shift 6
  while read -r cgroup; do echo $$ >"$cgroup/cgroup.procs"; done <"$folder/cgroups"
  mount -t overlay hardway-vm -o "lowerdir=$tree,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
  # What the VM writes to the cache stays with it: root of this machine runs what lies there.
  mount -t overlay hardway-cache -o "lowerdir=$cache,upperdir=$folder/cache/upper,workdir=$folder/cache/work" "$folder/cache/root"
  ip link set lo up
  if [ "$net" = net ]; then
    gateway=10.240.0.2
    within_10s ip link show eth0
  else
    # The other end leads nowhere: the default route only lets hardway find the node's address.
    gateway=10.240.0.1
    ip link add eth0 type veth peer name wan0
    ip link set wan0 up
  fi
  ip address add 10.240.0.10/24 dev eth0
  ip link set eth0 up
  ip route add default via "$gateway"
  # Needs no machined, no D-Bus and no systemd as process 1. Allows the keyring calls: the filter forbids them, runc
  # needs them.
  export SYSTEMD_SECCOMP=0 SYSTEMD_NSPAWN_API_VFS_WRITABLE=1
  [ -e /sys/fs/cgroup/cgroup.controllers ] || export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=0
  exec systemd-nspawn --directory="$folder/root" --boot --keep-unit --register=no --capability=all \
    --network-namespace-path=/proc/self/ns/net --hostname=kubernetes --resolv-conf=off --timezone=off "$@"
}

enter() {
  init=$2
  shift 2
  # Enters the cgroups of the VM first, or the command would belong to this machine.
  while IFS=: read -r _ controllers path; do
    mount=/sys/fs/cgroup/${controllers#name=}
    [ -n "$controllers" ] || [ ! -d /sys/fs/cgroup/unified ] || mount=/sys/fs/cgroup/unified
    echo $$ >"$mount$path/cgroup.procs" 2>/dev/null || :
  done <"/proc/$init/cgroup"
  exec nsenter --target "$init" --all -- "$@"
}

"$stage" "$@"
