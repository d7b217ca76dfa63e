#!/bin/sh
# in-root.sh ROOT [--bind HOST:GUEST]... [--chdir FOLDER] [--] PROGRAM [ARG]...
#
# Starts PROGRAM with the folder ROOT as its root, in user and mount namespaces of its own: no privilege is needed, and
# nothing outside is changed. /proc, /sys, /dev and the network are this machine's; what PROGRAM writes is gone when it
# ends, except below what is bound. PROGRAM takes this process's place. With ROOT of another processor, a binfmt_misc
# entry with the flag F must be registered, as Debian's qemu-user-static does.
#
# The tests of bundles for other systems call it, or anything else that takes `--bind` and a program; CONTRIBUTING.md
# says how.
set -eu

if [ "${1-}" != --inside ]; then
  [ $# -ge 2 ] || { sed -n '2s/^# //p' "$0" >&2; exit 125; }
  exec unshare --user --map-root-user --mount --propagation private -- sh "$0" --inside "$@"
fi
shift
root=$(cd "$1" && pwd -P)
shift

# The overlay's own folders need a place that is there in every root and not on a disk.
mount -t tmpfs tmpfs "$root/proc"
upper=$root/proc
mkdir "$upper/upper" "$upper/work" "$upper/root"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$upper/upper,workdir=$upper/work,userxattr" "$upper/root"
root=$upper/root
for folder in proc sys dev; do
  mkdir -p "$root/$folder"
  mount --rbind "/$folder" "$root/$folder"
done
chdir=/
while [ $# -gt 0 ]; do
  case $1 in
    --bind)
      mkdir -p "$root/${2##*:}"
      mount --rbind "${2%:*}" "$root/${2##*:}"
      shift 2
      ;;
    --chdir) chdir=$2; shift 2 ;;
    --) shift; break ;;
    *) break ;;
  esac
done
export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec unshare --root "$root" --wd "$chdir" -- "$@"
