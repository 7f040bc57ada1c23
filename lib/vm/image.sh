#!/bin/sh
# The disks of a qemu VM, made from folders without mounting a disk. Called by lib/vm/image.ts inside a mount
# namespace of its own, so that its mounts end with it.
#   root TREE FILES STAGE IMAGE          the system: TREE with FILES laid over it
#   data PROJECT CACHE SEED STAGE IMAGE  the parts of this machine that the VM sees
set -eu

# only FROM TO EXCLUDED...: mounts the content of FROM on TO, without the entries EXCLUDED.
only() {
  from=$1 to=$2
  shift 2
  mkdir -p "$to"
  for entry in "$from"/*; do
    name=${entry##*/}
    case " $* " in *" $name "*) continue ;; esac
    if [ -d "$entry" ] && [ ! -L "$entry" ]; then
      mkdir "$to/$name"
      mount --bind "$entry" "$to/$name"
    elif [ -e "$entry" ]; then
      cp -a "$entry" "$to/$name"
    fi
  done
}

root() {
  tree=$1 files=$2 stage=$3 image=$4
  mkdir "$stage/root" "$stage/work"
  mount -t overlay hardway-image -o "lowerdir=$tree,upperdir=$files,workdir=$stage/work" "$stage/root"
  # The file is sparse: it takes only the space that is written.
  mke2fs -q -F -t ext4 -m 1 -L hardway-root -d "$stage/root" "$image" 24G
}

data() {
  project=$1 cache=$2 seed=$3 stage=$4 image=$5
  only "$project" "$stage/project" coverage
  only "$cache" "$stage/cache" vm build
  only "$seed" "$stage/seed"
  used=$(du -sm --apparent-size "$stage" | cut -f1)
  mke2fs -q -F -t ext4 -m 0 -L hardway-data -d "$stage" "$image" "$((used * 5 / 4 + 1024))M"
}

"$@"
