#!/bin/sh
# Runs on the device; `cargo xtask smoke --device` brings it and takes it away again. POSIX, and nothing but a shell.
#
# runner.sh run HOME [NAME=VALUE]... -- PROGRAM [ARG]...
#   Starts PROGRAM in the folder HOME with these variables and no others. Each line of standard input is a signal to send
#   to it; when standard input ends, because the connection did, it and its children are killed. Ends as PROGRAM does.
# runner.sh end FOLDER
#   Kills everything that was started from FOLDER and removes it.
# runner.sh probe LIBRARY...
#   Says what the machine is: lines of a word and its value.
set -u

run() {
  home=$1
  shift
  mkdir -p "$home" && cd "$home" || exit 125
  count=0
  for word in "$@"; do
    [ "$word" != -- ] || break
    count=$((count + 1))
  done
  # The variables go from the front to the back, then the program: `env -i NAME=VALUE... PROGRAM ARG...`.
  position=0
  total=$#
  while [ "$position" -lt "$total" ]; do
    word=$1
    shift
    [ "$position" = "$count" ] || set -- "$@" "$word"
    position=$((position + 1))
  done
  exec 3<&0
  # In a group of its own, so that its children can be ended with it.
  if command -v setsid >/dev/null 2>&1; then
    setsid env -i "HOME=$home" "$@" </dev/null 3<&- &
    pid=$!
  else
    { set -m; } 2>/dev/null
    env -i "HOME=$home" "$@" </dev/null 3<&- &
    pid=$!
    set +m
  fi
  {
    while read -r signal; do kill -s "$signal" "$pid"; done <&3
    kill -s KILL -- "-$pid"
  } >/dev/null 2>&1 &
  listener=$!
  exec 3<&-
  wait "$pid"
  status=$?
  { kill -s KILL -- "-$pid"; kill -s KILL "$listener"; } 2>/dev/null
  exit "$status"
}

end() {
  if [ -r /proc/self/cmdline ]; then
    for process in /proc/[0-9]*; do
      [ "${process#/proc/}" != $$ ] || continue
      case "$(tr '\0' ' ' <"$process/cmdline" 2>/dev/null) $(readlink "$process/exe" 2>/dev/null) $(readlink "$process/cwd" 2>/dev/null) " in
        *"runner.sh end"*) ;;
        *"$1"/*) kill -s KILL "${process#/proc/}" 2>/dev/null ;;
      esac
    done
  else
    ps -A -o pid= -o args= | while read -r pid args; do
      case "$args" in
        *"runner.sh end"*) ;;
        *"$1"/*) kill -s KILL "$pid" 2>/dev/null ;;
      esac
    done
  fi
  rm -rf "$1"
}

say() { [ -z "$2" ] || printf '%s %s\n' "$1" "$2"; }

# find_library NAME: where the loader would find it
find_library() {
  case "$cached" in *"$1 ("*) return 0 ;; esac
  for folder in /lib /usr/lib /lib64 /usr/lib64 /usr/local/lib /lib/*-linux-* /usr/lib/*-linux-* /usr/lib/*-linux-*/* \
    /usr/local/cuda/lib64 /usr/local/cuda/targets/*/lib; do
    [ ! -e "$folder/$1" ] || return 0
  done
  return 1
}

# newest PREFIX FILE: the newest version with this prefix among the names in a library
newest() {
  [ -z "$2" ] || tr -c 'A-Za-z0-9_.' '\n' <"$2" | sed -n "s/^$1\([0-9][0-9.]*\)\$/\1/p" |
    sort -t. -k1,1n -k2,2n -k3,3n | tail -n 1
}

probe() {
  say os "$(uname -s)"
  say machine "$(uname -m)"
  say kernel "$(uname -r)"
  say page "$(getconf PAGESIZE 2>/dev/null || getconf PAGE_SIZE 2>/dev/null)"
  say flags "$(sed -n 's/^flags[^:]*: *//p' /proc/cpuinfo 2>/dev/null | head -n 1)"
  say glibc "$(getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc //p')"
  for loader in /lib/ld-musl-*.so.1; do
    [ ! -e "$loader" ] || say musl "$("$loader" 2>&1 | sed -n 's/^Version //p')"
  done
  cached=$( (ldconfig -p || /sbin/ldconfig -p) 2>/dev/null)
  cxx=
  for file in /usr/lib/*-linux-*/libstdc++.so.6 /usr/lib64/libstdc++.so.6 /usr/lib/libstdc++.so.6 /lib/*-linux-*/libstdc++.so.6; do
    [ -z "$cxx" ] && [ -r "$file" ] && cxx=$file
  done
  say libstdcxx "$(newest GLIBCXX_ "$cxx")"
  say macos "$(sw_vers -productVersion 2>/dev/null)"
  say tegra "$(head -n 1 /etc/nv_tegra_release 2>/dev/null)"
  say model "$(cat /sys/firmware/devicetree/base/model 2>/dev/null | tr -d '\0')"
  say compatible "$(cat /proc/device-tree/compatible 2>/dev/null | tr '\0' ' ')"
  say cuda "$(sed -n '/"cuda"/,/}/s/.*"version" *: *"\([0-9.]*\)".*/\1/p' /usr/local/cuda/version.json 2>/dev/null | head -n 1)"
  for product in nvinfer cudnn; do
    for file in /usr/lib/*-linux-*/lib$product.so.*.*; do
      [ ! -e "$file" ] || say "$product" "${file##*.so.}"
    done
  done
  # A name alone says nothing: version managers have a stub for every version there may be.
  for python in python3 python3.6 python3.7 python3.8 python3.9 python3.10 python3.11 python3.12 python3.13 python3.14; do
    say python "$("$python" -c 'import sys; print("3.%d" % sys.version_info[1])' 2>/dev/null </dev/null)"
  done
  say free "$(df -kP "${TMPDIR:-/tmp}" 2>/dev/null | awk 'NR == 2 { print $4 }')"
  for library in "$@"; do
    ! find_library "$library" || say library "$library"
  done
  echo end of probe
}

command=$1
shift
"$command" "$@"
