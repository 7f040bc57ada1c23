# shellcheck shell=sh
# Brings Node and the npm packages, which the program needs. Read by bin/hardway and bin/test with `.`; POSIX sh.
# Needs $project (the checkout's folder); gives $node. Says nothing when nothing is to do; what it says goes to stderr.

: "${project:?is the checkout}"

# Folders of the cache are for everybody to read and for root to write, whatever umask sudo has brought along.
umask 022

# Bundle that has Node and the packages, where the caller sets one; and its list of checksums, once it was read.
bundle='' sums=''

node_wanted=24
# Release of Node for machines without npm. Checksums as signed by the Node project in its release post
# (nodejs.org/en/blog/release/v24.14.0, section SHASUMS).
node_release=v24.14.0
node_sha256_x64=dbf5b8665dec15e59e6359a517fefb47b23fdb9152d8def975b9bca3dfc6d355
node_sha256_arm64=f44740cd218de8127f1c44c41510a3a740fa5c9c8d1cdce1c3bedada79f3cde7

say() { printf 'hardway: %s\n' "$*" >&2; }

# die MESSAGE [NEXT]: exit code 2, what was asked cannot be done on this machine as it is.
die() {
  say "$1"
  [ -z "${2-}" ] || printf '  %s\n' "$2" >&2
  exit 2
}

# logged WHAT COMMAND...: runs COMMAND quietly; when it fails, shows its last lines, the log and what to do.
logged() {
  what=$1
  shift
  log=$(mktemp "${TMPDIR:-/tmp}/hardway-setup.XXXXXX") || die "no temporary file can be made in ${TMPDIR:-/tmp}"
  if "$@" >"$log" 2>&1 </dev/null; then
    rm -f "$log"
    return
  fi
  say "$what failed; the end of $log:"
  tail -n 12 "$log" | sed 's/^/  | /' >&2
  die "the program cannot start without it" "$try_again"
}
try_again='Is this machine online, and its clock right? Behind a proxy: sudo https_proxy=http://PROXY:3128 and the same command.'

# new_enough NODE: true for 22.18 and later, the first that runs TypeScript as it is.
new_enough() {
  version=$("$1" --version 2>/dev/null) || return 1
  version=${version#v}
  major=${version%%.*}
  minor=${version#*.}
  minor=${minor%%.*}
  case $major$minor in '' | *[!0-9]*) return 1 ;; esac
  [ "$major" -gt 22 ] || { [ "$major" -eq 22 ] && [ "$minor" -ge 18 ]; }
}

# trust_own_cas: lets Node trust what else this machine trusts, where a CA was added to it, such as that of a company.
trust_own_cas() {
  for added in /usr/local/share/ca-certificates/*.crt /usr/local/share/ca-certificates/*/*.crt; do
    [ -e "$added" ] || continue
    export NODE_USE_SYSTEM_CA="${NODE_USE_SYSTEM_CA-1}"
    return
  done
}

# others_may_change FILE: true where somebody else than root and the person who asks may change the file, a folder above
# it or a link on the way. lib/host/trust.ts judges the same for the program, when Node runs.
others_may_change() {
  asking=${SUDO_UID:-$(id -u)}
  place=$1
  real=$(readlink -m "$place")
  set -- "$real"
  while [ -L "$place" ]; do
    set -- "$@" "$place"
    target=$(readlink "$place")
    case $target in
    /*) place=$target ;;
    *) place=${place%/*}/$target ;;
    esac
  done
  for place; do
    while place=${place%/*} && [ -n "$place" ]; do set -- "$@" "$place"; done
  done
  # What is not there yet is made by root, in folders that are judged.
  ! LC_ALL=C stat -c '%u %g %a %F' "$@" 2>/dev/null | while read -r uid gid mode kind; do
    [ "$uid" -eq 0 ] || [ "$uid" -eq "$asking" ] || exit 1
    [ "$kind" != 'symbolic link' ] || continue
    # In a sticky folder, such as /tmp, nobody replaces what belongs to another.
    if [ $((0$mode & 022)) -eq 0 ] || [ $((0$mode & 01000)) -ne 0 ]; then continue; fi
    if [ $((0$mode & 02)) -ne 0 ] || others_are_in "$gid"; then exit 1; fi
  done
}

# others_are_in GID: true where somebody else than root and the person who asks is in the group.
others_are_in() {
  for one in $(getent group "$1" | cut -d: -f4 | tr , ' ') $(getent passwd | awk -F: -v gid="$1" '$4 == gid { print $1 }'); do
    one=$(id -u "$one") || return 0
    [ "$one" -eq 0 ] || [ "$one" -eq "$asking" ] || return 0
  done
  return 1
}

# find_node: sets $node to the one that came along, to the first Node on PATH if it is new enough, else to one that we brought earlier; never to one
# that others may change, as root will run it.
find_node() {
  node=$project/node/$node_path # in a self-extracting file
  [ ! -x "$node" ] || return 0
  node=$(command -v node) && new_enough "$node" && ! others_may_change "$node" && return
  for node in "$shared_node/$node_path" "$own_node/$node_path"; do
    [ -x "$node" ] && ! others_may_change "$node" && return
  done
  return 1
}
node_path=node_modules/node/bin/node
cache=${HARDWAY_CACHE:-/var/cache/hardway} # empty is the same as unset
case $cache in
/*) shared_node=$cache/node ;;
*) die "HARDWAY_CACHE is '$cache', which another folder makes another place" "Type: export HARDWAY_CACHE=$PWD/$cache" ;;
esac

# require_own_folder: nothing of others is in the cache. Its mode is mended, and reset --purge removes what is in it.
require_own_folder() {
  [ "$cache" != /var/cache/hardway ] || return 0
  for entry in "$cache"/* "$cache"/.[!.]*; do
    [ -e "$entry" ] || [ -L "$entry" ] || continue
    case ${entry##*/} in
    bin | build | compiled | dist | downloads | images | manifests | node | vm | lost+found | probe.part-*) ;;
    *) die "HARDWAY_CACHE is $cache, which is no folder of its own: ${entry##*/} is in it" "Name another: export HARDWAY_CACHE=${cache%/}/hardway" ;;
    esac
  done
}

# require_folder: the cache, or what is there of the path to it, is a folder; else every later failure would be told as
# one of a download.
require_folder() {
  place=$cache
  until [ -e "$place" ] || [ -L "$place" ]; do place=${place%/*} place=${place:-/}; done
  if [ -d "$place" ]; then
    require_own_folder
    return
  fi
  kind=$(LC_ALL=C stat -L -c %F "$place" 2>/dev/null) || kind='link that leads to nothing'
  die "$place is a $kind, and $cache is to be a folder" "Move it away, or name another folder: export HARDWAY_CACHE=/another/folder"
}
require_folder
own_node=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/hardway/node

# require_own_cache: root brings nothing into a cache that others may change.
require_own_cache() {
  [ "$(id -u)" -eq 0 ] || return 0
  if ! (SUDO_UID=0 && others_may_change "$shared_node"); then return 0; fi
  die "$cache is not used: others than root may change it or a folder above it" "See who: namei -l $cache"
}

# choose_folder: sets $into to where Node is brought, for everybody or else for this user.
choose_folder() {
  require_own_cache
  into=$shared_node
  { mkdir -p "$into" && [ -w "$into" ]; } 2>/dev/null || into=$own_node
  mkdir -p "$into" || die "Node 22.18 or later is needed, and $into cannot be made to hold it"
}

# require_room FOLDER MB: FOLDER can be written to and has room for what is brought.
require_room() {
  [ -w "$1" ] || die "$1 cannot be written: it is on a file system that is mounted read-only, or somebody else's"
  free=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
  [ "${free:-0}" -ge "$2" ] ||
    die "$free MB are free on the disk of $1, and $2 MB are needed there" "Make room there, then type the same command again."
}

# mend_cache: mends what earlier versions left in the cache: folders that only root may enter, where root had umask 077,
# and a Node that belongs to a user of nodejs.org. Where this machine has such a user, that Node is replaced instead.
mend_cache() {
  [ "$(id -u)" -eq 0 ] && [ -d "$cache" ] || return 0
  find "$cache" -maxdepth 0 ! -perm -005 -exec chmod go+rx {} +
  for folder in "$shared_node" "$cache/bin"; do
    [ ! -d "$folder" ] || find "$folder" -maxdepth 0 ! -perm -005 -exec chmod -R go+rX {} +
  done
  owner=$(stat -L -c %u "$shared_node/$node_path" 2>/dev/null) || return 0
  [ "$owner" -eq 0 ] || getent passwd "$owner" >/dev/null || chown -hR 0:0 "$shared_node"
}

# bring_node: brings Node to where find_node looks for it; two at once take turns.
bring_node() {
  choose_folder
  take_turn "$into"
  find_node || install_node
  find_node || die "Node was brought to $into but does not run there" "Install Node 22.18 or later and type the same command again."
  exec 8<&-
}

# bring_shared_node [NODE]: brings Node to where VMs see it, whatever this machine has itself: as a copy of NODE, where we
# brought that one.
bring_shared_node() {
  require_own_cache
  into=$shared_node
  mkdir -p "$into" || die "$into cannot be made to hold Node"
  take_turn "$into"
  if [ ! -x "$into/$node_path" ] || others_may_change "$into/$node_path"; then
    case ${1-} in
    */"$node_path") copy_node "${1%/bin/node}" ;;
    *) install_node ;;
    esac
  fi
  exec 8<&-
}

# copy_node TREE: puts a copy of a Node that we brought into $into, in one move.
copy_node() {
  rm -rf "$into/unpacking/node"
  mkdir -p "$into/unpacking" "$into/node_modules"
  cp -R "$1" "$into/unpacking/node"
  rm -rf "$into/node_modules/node"
  mv "$into/unpacking/node" "$into/node_modules/node"
}

# take_turn PATH: waits until no other run works there, ten minutes at most. Whoever closes descriptor 8 gives it back.
take_turn() {
  exec 8<"$1"
  flock -w 600 8 || die "another hardway has been at work in $1 for ten minutes" "See what it does (ps -ef), then type the same command again."
}

# install_node: brings Node into $into, out of the bundle that was named, with npm or else as its release file.
install_node() {
  if [ -n "$bundle" ]; then
    node_from_bundle
    return
  fi
  command -v npm >/dev/null || {
    unpack_node
    return
  }
  require_room "$into" 250
  say "bringing Node $node_wanted to $into (npm install node@$node_wanted)"
  # Without one npm would look for a project in the folders above.
  [ -e "$into/package.json" ] || echo '{ "private": true }' >"$into/package.json"
  # shellcheck disable=SC2086 # options without spaces
  (cd "$into" && logged "npm install node@$node_wanted in $into" npm install $npm_quietly "node@$node_wanted") || exit
}

# fetch URL FILE: downloads a file and goes on where an earlier attempt, or run, has stopped; given up after five attempts
# in a row that bring nothing. A connection that sends next to nothing for half a minute is dropped.
fetch() {
  failed=0
  while :; do
    had=$(stat -c %s "$2" 2>/dev/null || echo 0)
    if command -v curl >/dev/null; then
      curl -fL "$how" --connect-timeout 20 --speed-limit 1000 --speed-time 30 -C - -o "$2" "$1" && return
    else
      wget -nv --tries=1 --timeout=30 -c -O "$2" "$1" && return
    fi
    [ "$(stat -c %s "$2" 2>/dev/null || echo 0)" -le "$had" ] || failed=0
    failed=$((failed + 1))
    [ "$failed" -lt 5 ] || return 1
    sleep "$failed"
  done
}

# unpack_node: the official release file, checked, then put in its place in one move.
unpack_node() {
  [ -n "${into-}" ] || choose_folder
  say "bringing Node $node_release to $into (from nodejs.org)"
  case $(uname -m) in
  x86_64) arch=x64 sha256=$node_sha256_x64 ;;
  aarch64) arch=arm64 sha256=$node_sha256_arm64 ;;
  *) die "there is no Node of ours for $(uname -m): hardway runs on x86_64 and arm64" ;;
  esac
  url=https://nodejs.org/dist/$node_release/node-$node_release-linux-$arch.tar.gz
  require_room "$into" 400
  rm -rf "$into/unpacking/node"
  mkdir -p "$into/unpacking/node" "$into/node_modules"
  command -v curl >/dev/null || command -v wget >/dev/null ||
    die 'Node 22.18 or later is needed, and this machine has no npm, curl or wget to bring it' \
      'Type: apt-get install curl ca-certificates'
  part=$into/unpacking/${url##*/}
  got=$(sha256sum "$part" 2>/dev/null) || got=''
  got=${got%% *}
  if [ "$got" != "$sha256" ]; then
    how=-sS
    if [ -t 2 ] && command -v curl >/dev/null; then
      how=--progress-bar
      fetch "$url" "$part" || die "Node cannot be brought from nodejs.org" "$try_again"
    else
      logged "downloading $url" fetch "$url" "$part"
    fi
    got=$(sha256sum "$part")
    got=${got%% *}
  fi
  [ "$got" = "$sha256" ] || {
    rm -rf "$into/unpacking"
    die "$url has the checksum $got instead of $sha256: it was not used" 'A proxy may have changed it. Type the same command again, or install Node 22.18 or later yourself.'
  }
  place_node "$part"
}

# place_node TARBALL: unpacks Node into $into/unpacking and moves it to its place in one move.
place_node() {
  # The files in the one of nodejs.org belong to a user there, 1001, who is somebody else here.
  tar --no-same-owner -xzf "$1" -C "$into/unpacking/node" --strip-components=1
  rm -rf "$into/node_modules/node"
  mv "$into/unpacking/node" "$into/node_modules/node"
  rm -rf "$into/unpacking"
}

refuse_bundle() { die "the bundle $bundle is not used: $1" "${2:-Copy it again; or make it anew where there is a network: hardway bundle create FILE}"; }
typed_line='Type the whole line that hardway bundle serve FILE has printed.'

# member NAME: prints a member of the bundle. A bundle is a plain tar, and of its members Node and the packages are gzip:
# a clean Debian has tar and gzip, and no zstd.
member() {
  case $bundle in
  http://* | https://*) fetch_text "$bundle/$1" ;;
  *) tar -xOf "$bundle" --occurrence=1 "$1" 2>/dev/null ;;
  esac
}

fetch_text() {
  if command -v curl >/dev/null; then
    curl -fsSL --connect-timeout 20 "$1"
  else
    wget -q --timeout=30 -O - "$1"
  fi
}

# open_bundle: reads the list of checksums into $sums. Of a file every member is verified before anything is written; of
# an address the list is verified by the mark at its end.
open_bundle() {
  case $bundle in
  http://* | https://*)
    mark=${bundle##*/}
    case $mark in
    *[!0-9a-f]* | '') refuse_bundle 'its mark is missing, 16 digits at the end, by which it is known' "$typed_line" ;;
    esac
    [ "${#mark}" -eq 16 ] || refuse_bundle 'its mark has not 16 digits' "$typed_line"
    command -v curl >/dev/null || command -v wget >/dev/null ||
      refuse_bundle 'there is no curl or wget here' 'Copy the file here: --source bundle --from FILE'
    sums=$(member SHA256SUMS) || refuse_bundle 'it does not answer' "Is hardway bundle serve running there? $typed_line"
    got=$(printf '%s\n' "$sums" | sha256sum)
    case $got in
    "$mark"*) ;;
    *) refuse_bundle "its list does not have the mark $mark" "$typed_line" ;;
    esac
    return
    ;;
  esac
  [ -e "$bundle" ] || die "there is no bundle at $bundle" 'Make it where there is a network: hardway bundle create FILE'
  if ! { [ -f "$bundle" ] && [ -r "$bundle" ]; }; then refuse_bundle 'it is no file that can be read'; fi
  bundle=$(readlink -f "$bundle")
  if others_may_change "$bundle"; then
    refuse_bundle 'others than root and you may change it' "See who: namei -l $bundle"
  fi
  sums=$(member SHA256SUMS) || sums=''
  [ -n "$sums" ] || refuse_bundle 'it is no bundle of hardway, or torn'
  printf '%s\n' "$sums" | while read -r sum name; do
    [ "$(member "$name" | sha256sum)" = "$sum  -" ] || exit 1
  done || refuse_bundle 'it is torn or was altered: a part of it has not the checksum of its list'
}

# part_like PATTERN: prints the name of the member that a pattern of sed fits.
part_like() { printf '%s\n' "$sums" | sed -n "s/^[0-9a-f]*  \\($1\\)\$/\\1/p"; }

# take_part NAME FILE: writes a member of the bundle to a file, and verifies it.
take_part() {
  case $bundle in
  http://* | https://*)
    how=-sS
    logged "downloading $1" fetch "$bundle/$1" "$2"
    ;;
  *) member "$1" >"$2" ;;
  esac
  got=$(sha256sum "$2")
  printf '%s\n' "$sums" | grep -qxF "${got%% *}  $1" || {
    rm -f "$2"
    refuse_bundle "$1 in it was altered"
  }
}

# node_from_bundle: brings Node out of the bundle into $into.
node_from_bundle() {
  [ -n "$sums" ] || open_bundle
  case $(uname -m) in
  x86_64) arch=amd64 ;;
  aarch64) arch=arm64 ;;
  *) die "hardway runs on x86_64 and arm64, and this is $(uname -m)" ;;
  esac
  part=$(part_like "node-[^ ]*-$arch\\.tar\\.gz")
  [ -n "$part" ] || refuse_bundle "it is not for $arch, which this machine is" \
    "Make one where there is a network: hardway bundle create --arch $arch FILE"
  require_packages_of_bundle
  require_room "$into" 300
  say "bringing Node to $into (${part%.tar.gz} from the bundle)"
  rm -rf "$into/unpacking"
  mkdir -p "$into/unpacking/node" "$into/node_modules"
  take_part "$part" "$into/unpacking/node.tar.gz"
  place_node "$into/unpacking/node.tar.gz"
}

# require_packages_of_bundle: where packages are missing, the bundle has those of this version of hardway.
require_packages_of_bundle() {
  [ -n "$sums" ] || open_bundle
  lock_sum=$(sha256sum "$project/package-lock.json" | cut -c1-16)
  packages=$(part_like "packages-$lock_sum\\.tar\\.gz")
  [ -n "$packages" ] || packages_ready '' || refuse_bundle 'another version of hardway made it' \
    'Use the hardway that made it, or make it anew where there is a network: hardway bundle create FILE'
}

# packages_from_bundle: brings the npm packages out of the bundle into the checkout.
packages_from_bundle() {
  require_packages_of_bundle
  say 'bringing the npm packages (from the bundle)'
  tarball=$(mktemp "${TMPDIR:-/tmp}/hardway-packages.XXXXXX") || die "no temporary file can be made in ${TMPDIR:-/tmp}"
  take_part "$packages" "$tarball"
  as_owner rm -rf "$project/node_modules"
  as_owner tar --no-same-owner -xzf - -C "$project" <"$tarball" || die "the npm packages cannot be unpacked into $project"
  rm -f "$tarball"
  as_owner touch "$project/node_modules/.package-lock.json"
}

# Waits seconds, not npm's minutes, for a registry that does not answer. (And never --prefix: with it npm does not read
# the settings of the machine, where a company's certificate or mirror may be.)
npm_quietly='--no-audit --no-fund --no-progress --no-update-notifier --loglevel=error --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000'

# shellcheck disable=SC3013 # -nt: POSIX since 2024, in dash and BusyBox long before
# packages_ready FILE: npm finished after the lock file was last changed, and FILE is there.
# npm writes node_modules/.package-lock.json last, so an interrupted run leaves none.
packages_ready() {
  [ -e "$project/package-lock.json" ] || return 0 # in a package that npm has installed with them
  [ -e "$project/node_modules/.package-lock.json" ] &&
    ! [ "$project/package-lock.json" -nt "$project/node_modules/.package-lock.json" ] &&
    [ -e "$project/node_modules/$1" ]
}

# bring_packages use|test: npm ci, for use without what only tests need; two at once take turns.
# A folder that cannot be written (the project inside a VM) is used as it is.
bring_packages() {
  proof='' omit=--omit=dev
  [ "$1" = use ] || proof=.bin/vitest omit=''
  packages_ready "$proof" && return
  [ -w "$project" ] || {
    [ -d "$project/node_modules" ] && return
    die "the npm packages are missing and $project cannot be written" "As its owner, type: cd $project && npm ci"
  }
  take_turn "$project/package-lock.json"
  if [ -n "$bundle" ] && ! packages_ready "$proof"; then packages_from_bundle; fi
  packages_ready "$proof" || {
    # Keeps the packages of the tests once they were installed.
    [ ! -e "$project/node_modules/.bin/vitest" ] || omit=''
    say 'bringing the npm packages (npm ci)'
    require_room "$project" "$([ -n "$omit" ] && echo 50 || echo 400)"
    # The person's own npm, with its own Node and settings; the one in Node's release file where there is none.
    npm_path=$PATH:$shared_node/${node_path%/node}:$own_node/${node_path%/node}
    PATH=$npm_path sh -c 'command -v npm' >/dev/null || unpack_node
    # shellcheck disable=SC2086 # options without spaces
    (cd "$project" && logged "npm ci in $project" \
      as_owner env PATH="$npm_path" npm ci --ignore-scripts $npm_quietly $omit) || exit
    packages_ready "$proof" || die 'npm ci ended well but brought nothing' "See what it says: cd $project && npm ci"
  }
  exec 8<&-
}

# as_owner COMMAND...: runs it as the owner of the checkout when root works in another user's, so that it leaves no file
# of root's there.
as_owner() {
  owner=$(stat -c %u "$project")
  if [ "$(id -u)" -ne 0 ] || [ "$owner" -eq 0 ]; then
    "$@"
  else
    home=$(getent passwd "$owner" | cut -d: -f6)
    [ -d "$home" ] || home=/tmp
    setpriv --reuid "$owner" --regid "$(stat -c %g "$project")" --clear-groups env HOME="$home" "$@"
  fi
}
