#!/bin/sh
# hardway @VERSION@ for Linux on @ARCH@: the program, its npm packages and Node in one file. It needs a POSIX shell, tar,
# gzip and sha256sum. The first time it unpacks itself, after its checksum was verified; then it runs from there.
set -eu
umask 022

version=@VERSION@ arch=@ARCH@ sha256=@SHA256@ size=@SIZE@

die() {
  printf 'hardway: %s\n' "$1" >&2
  [ -z "${2-}" ] || printf '  %s\n' "$2" >&2
  exit 2
}
again='Download it again, and compare its checksum with the published one: sha256sum FILE'

case $(uname -m) in
x86_64) here=amd64 ;;
aarch64) here=arm64 ;;
*) here=$(uname -m) ;;
esac
[ "$here" = "$arch" ] || die "this file is for $arch, and this machine is $here" "Take hardway-$version-linux-$here."

case $0 in
/*) self=$0 ;;
*) self=$PWD/$0 ;;
esac
[ -f "$self" ] || self=$(command -v "$0")

# Root keeps it where only root can write; anybody else in a cache of their own.
if [ "$(id -u)" -eq 0 ]; then
  cache=${HARDWAY_CACHE:-/var/cache/hardway}
else
  cache=${XDG_CACHE_HOME:-${HOME:?is where it is unpacked}/.cache}/hardway
fi
place=$cache/dist/$version-$(printf %.12s "$sha256")

# unpack: verifies what comes after this script, unpacks it beside its place, and moves it there in one move.
unpack() {
  mkdir -p "$cache/dist" || die "$cache/dist cannot be made" "Make room or name another folder: HARDWAY_CACHE (root) or XDG_CACHE_HOME"
  if [ "$(id -u)" -eq 0 ] && [ -n "$(find "$cache" "$cache/dist" -maxdepth 0 \( ! -user 0 -o -perm -002 \))" ]; then
    die "$cache is not used: others than root may change it" "See who: namei -l $cache"
  fi
  payload() { tail -c "$size" "$self"; }
  got=$(payload | sha256sum)
  [ "${got%% *}" = "$sha256" ] || die "$0 is torn or was altered: its content has not the checksum that it is to have" "$again"
  printf 'hardway: unpacking version %s into %s\n' "$version" "$place" >&2
  part=$(mktemp -d "$cache/dist/part.XXXXXX") || die "nothing can be written to $cache/dist"
  trap 'rm -rf "$part"' EXIT
  payload | tar -xzf - -C "$part" --no-same-owner || die "it cannot be unpacked into $cache/dist" "See whether the disk is full: df -h $cache"
  chmod 755 "$part"
  "$part/node/node_modules/node/bin/node" --version >/dev/null 2>&1 ||
    die "Node does not run from $cache/dist: is that file system mounted noexec?" "Name another folder: HARDWAY_CACHE (root) or XDG_CACHE_HOME"
  # Another run may have been first: what it has unpacked is the same.
  [ -d "$place" ] || mv -T "$part" "$place" 2>/dev/null || [ -d "$place" ] || die "$place cannot be made"
  rm -rf "$part"
  trap - EXIT
}

[ -d "$place" ] || unpack
HARDWAY_FILE=$0
export HARDWAY_FILE
exec "$place/bin/hardway" "$@"

# What follows is a tar of gzip.
exit 2
