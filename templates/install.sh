#!/bin/sh
# Installs {{ app }} {{ version }}.
#
{% if base %}
#   curl -fsSL {{ base }}/{{ script }} | sh
#   curl -fsSL {{ base }}/{{ script }} | sh -s -- --help
{% else %}
#   sh {{ script }}           beside the other files of the release, or with GANGWAY_BASE_URL set to their address
#   sh {{ script }} --help
{% endif %}
#
# It finds out what machine this is, downloads the installer for it (a program of a few megabytes), compares that with the
# SHA-256 written here, and starts it. Needed are curl or wget, and sha256sum, shasum or openssl; no root.
#
# The braces around everything make the shell read all of it before it does any of it: half a download does nothing.
{

set -u
# zsh is another language unless it is told.
[ -z "${ZSH_VERSION-}" ] || emulate sh

app={{ app | sh }}
version={{ version | sh }}
channel={{ channel | sh }}
published={{ base | sh }}
script=$0

# The folder with the installer, and the one it is moved to; removed at the end.
folder=
next=

# lines [<text>]...: not every mksh has printf, and none of these texts is taken for an option of echo
lines() {
  for line in "$@"; do
    echo "$line"
  done
}

usage() {
  lines \
    "Installs $app $version." \
    "" \
    "usage: sh {{ script }} [OPTION]..." \
{% if base %}
    "       curl -fsSL {{ base }}/{{ script }} | sh -s -- [OPTION]..." \
{% endif %}
    "" \
    "  --from ADDRESS   take everything from this mirror (https://...) or folder [default: \$GANGWAY_BASE_URL," \
    "                   else the script's own folder if the files are there{% if base %}, else {{ base }}{% endif %}]" \
    "  --dry-run        say what would be done, and do nothing" \
    "  --help           print this" \
    "" \
    "Other options are handed to the installer, for instance --system (for all users), --prefix DIR, --bin-dir DIR" \
    "and --yes. Proxies are taken from https_proxy and no_proxy. The installer is put into \$TMPDIR or /tmp for a" \
    "moment, elsewhere if programs cannot be started there."
}

say() {
  lines "$app: $*" >&2
}

# fail <what is wrong> [<what to do>]...
fail() {
  say "error: $1"
  shift
  for line in "$@"; do
    lines "  $line" >&2
  done
  exit 1
}

clean_up() {
  [ -z "$folder" ] || rm -rf "$folder"
  [ -z "$next" ] || rm -rf "$next"
}

have() {
  command -v "$1" >/dev/null 2>&1
}

# installer_for <machine>: which file it is, its length, and its SHA-256
installer_for() {
  case $1 in
{% for installer in installers %}
    {{ installer.machine }})
      file={{ installer.name | sh }}
      size={{ installer.size | sh }}
      sha256={{ installer.sha256 }}
      ;;
{% endfor %}
    *) return 1 ;;
  esac
}

# What machine this is, and the installer for it.
choose_installer() {
  have uname || fail "\`uname\` is missing, which tells what machine this is" "it is part of coreutils and of busybox"
  kernel=$(uname -s) machine=$(uname -m) translated=no
  case $kernel in
    Linux) os=linux ;;
    Darwin) os=macos ;;
    MINGW* | MSYS* | CYGWIN* | Windows*)
{% if base %}
      fail "this script is not for Windows" "run in PowerShell: irm {{ base }}/{{ script_for_windows }} | iex" ;;
{% else %}
      fail "this script is not for Windows" "run {{ script_for_windows }}, which is beside this one, in PowerShell" ;;
{% endif %}
    *) fail "there is no $app for $kernel" ;;
  esac
  case $machine in
    x86_64 | amd64) cpu=x64 ;;
    aarch64 | arm64) cpu=arm64 ;;
    i?86 | x86 | armv[1-8]*) fail "there is no $app for 32-bit systems, and this is one ($machine)" ;;
    *) fail "there is no $app for processors of the kind $machine" ;;
  esac
  if [ "$os" = linux ]; then
    if has_32_bit_programs 2>/dev/null; then
      fail "there is no $app for 32-bit systems: the kernel of this one has 64 bits ($machine), its programs have 32"
    fi
  elif [ "$cpu" = x64 ] && is_translated; then
    # A shell of the other kind: what it says of the processor is what Rosetta pretends.
    cpu=arm64 translated=yes
  fi
  installer_for "$os-$cpu" && return
  if [ "$translated" = yes ] && installer_for macos-x64; then
    return
  fi
  fail "there is no $app $version for $os on $cpu" "there is one for: {{ machines }}"
}

# A kernel of 64 bits under programs of 32: what `uname` says is true, and nothing of 64 bits finds its libraries.
has_32_bit_programs() {
  elf=$(printf '\177ELF\001') && start=$(head -c 5 "/proc/$$/exe") && [ "$start" = "$elf" ]
}

is_translated() {
  for sysctl in sysctl /usr/sbin/sysctl; do
    [ "$("$sysctl" -n sysctl.proc_translated 2>/dev/null)" != 1 ] || return 0
  done
  return 1
}

# Where the release is: an address or a folder. What people see of it is in $shown, and of its installer in $shown_file.
choose_base() {
  if [ -n "$from" ]; then
    base=$from
  elif is_beside; then
    base=$beside
  elif [ -n "$published" ]; then
    base=$published
  else
    fail "this script does not know where the files of $app $version are, and they are not beside it" \
      "name the address or the folder: --from ADDRESS, or the variable GANGWAY_BASE_URL"
  fi
  case $base in
    file:///*) base=${base#file://} ;;
  esac
  case $base in
    [Hh][Tt][Tt][Pp][Ss]://* | [Hh][Tt][Tt][Pp]://*) check_address ;;
    *://*) fail "\`$base\` is neither an https address nor a folder" ;;
    *)
      [ -d "$base" ] || fail "there is no folder \`$base\`"
      shown=$base
      base=$(CDPATH='' cd -P -- "$base" && pwd) || fail "cannot enter \`$shown\`"
      [ -f "$base/$file" ] || fail "there is no \`$file\` in \`$base\`" "copy all files of the release to it"
      place=folder shown=$base shown_file=$base/$file
      ;;
  esac
}

# A script that is read from a pipe has no folder, and $0 is the shell.
is_beside() {
  case $script in
    */*.sh) beside=${script%/*} ;;
    *.sh) beside=. ;;
    *) return 1 ;;
  esac
  [ -f "$script" ] && [ -f "$beside/$file" ] && [ -f "$beside/$channel.json" ]
}

# without_slashes <text>: in $short, without those at its end
without_slashes() {
  short=$1
  while case $short in ?*/) true ;; *) false ;; esac; do
    short=${short%/}
  done
}

# Nothing comes in clear text, but from this machine itself, or where the user says so. A password and a signature are
# for the server, not for the screen. A signature is a query, which belongs behind the name of the file.
check_address() {
  place=remote protocol=https
  base=${base%%#*}
  query=${base#"${base%%\?*}"}
  without_slashes "${base%%\?*}"
  base=$short$query address=$short/$file$query
  host=${short#*://}
  rest=${host#"${host%%/*}"}
  host=${host%%/*}
  host=${host##*@}
  shown=${short%%://*}://$host$rest
  shown_file=$shown/$file${query:+?...} shown=$shown${query:+?...}
  case $base in
    # To a tool that reads the address, it would end there or mean something else.
    *[[:space:]\\]*) fail "\`$shown\` is no address: there is a blank or a backslash in it" "a blank is written %20" ;;
    [Hh][Tt][Tt][Pp]://*)
      case $host in
        127.0.0.1 | 127.0.0.1:* | localhost | localhost:* | '[::1]' | '[::1]:'*) protocol=http,https ;;
        *)
          case ${GANGWAY_ALLOW_HTTP-} in
            '' | 0)
              fail "\`$shown\` is not encrypted" "name an address that begins with https://" \
                "or set GANGWAY_ALLOW_HTTP=1, if you trust everybody between here and there"
              ;;
            *) protocol=http,https ;;
          esac
          ;;
      esac
      ;;
  esac
}

# hash_with <tool>: the SHA-256 of standard input, and something after it
hash_with() {
  case $1 in
    sha256sum) sha256sum ;;
    shasum) shasum -a 256 ;;
    openssl) openssl dgst -sha256 -r ;;
  esac 2>/dev/null
}

# The first tool that is there and calculates right.
choose_hasher() {
  for hasher in sha256sum shasum openssl; do
    found=$(echo abc | hash_with "$hasher")
    [ "${found%%[!0-9a-f]*}" != edeaaff3f1774ad2888673770c6d64097e391bc362d7d6fb34982ddf0efd18cb ] || return 0
  done
  fail "nothing here calculates a SHA-256, so a download could not be checked: sha256sum, shasum and openssl are missing" \
    "install one of them (coreutils and busybox have sha256sum, perl has shasum)"
}

choose_downloader() {
  downloader=none
  [ "$place" = remote ] || return 0
  if have wget; then
    downloader=wget
    case $(wget --version 2>/dev/null) in
      *'GNU Wget'*) downloader=gnu-wget ;;
    esac
  fi
  if have curl; then
    case $(command -v curl) in
      # It sees no folder but its own.
      /snap/*) [ "$downloader" != none ] || downloader=curl ;;
      *) downloader=curl ;;
    esac
  fi
  [ "$downloader" != none ] || fail "nothing here downloads: curl and wget are missing" \
    "install one of them (Debian, Ubuntu: apt-get install curl; Fedora: dnf install curl; Alpine: apk add curl)," \
    "or copy all files of the release to this machine and run the script beside them"
}

# download <file>: from $address; sets `complaint` if it fails. Other users see what a program is started with, so addresses
# come to it through a pipe.
download() {
  case $downloader in
    curl)
      to=$1
      set --
      # TLS 1.2 at least; curls that are too old to be told have it as their best.
      if curl --tlsv1.2 --version >/dev/null 2>&1; then
        set -- --tlsv1.2
      fi
      complaint=$(lines "url=$address" | curl "$@" --config - --globoff --proto "=$protocol" --fail --silent --show-error \
        --location --retry 3 --connect-timeout 60 --speed-limit 1 --speed-time 60 --output "$to" 2>&1)
      ;;
    gnu-wget)
      complaint=$(lines "$address" |
        wget --no-verbose --tries=3 --timeout=60 --output-document="$1" --input-file=- 2>&1)
      ;;
    # It reads no addresses. No timeout: with one, busybox of Debian 12 crashes. By itself it waits for 15 minutes.
    wget) complaint=$(wget -q -O "$1" "$address" 2>&1) ;;
  esac
}

# Of standard input what has no address in it: one may have a signature, and others may be where it leads to.
without_addresses() {
  while IFS= read -r line; do
    case $line in
      *://*) ;;
      *) lines "$line" ;;
    esac
  done
}

# copy <file> <file>: fails if there is no room for it
copy() {
  cat "$1" 2>/dev/null >"$2" && return
  is_full "$2" || fail "cannot copy \`$1\` to \`$2\`"
  return 1
}

# is_full <file>: whether nothing more can be written where it is
is_full() {
  ! lines "$sha256" 2>/dev/null >"$1.more"
}

# take <file>: the installer's bytes, whatever they are; fails if there is no room for them
take() {
  if [ -n "$folder" ]; then
    copy "$folder/$file" "$1"
    return
  elif [ "$place" = folder ]; then
    copy "$base/$file" "$1"
    return
  fi
  say "downloading the installer for $os on $cpu ($size) from $shown"
  download "$1" && return
  case $downloader:$? in
    # How they end when they cannot write; busybox's ends the same whatever was wrong.
    curl:23 | gnu-wget:3) return 1 ;;
  esac
  ! is_full "$1" || return 1
  fail "cannot download \`$shown_file\` with ${downloader#gnu-}" "$(lines "$complaint" | without_addresses)" \
    "behind a proxy, set https_proxy; a mirror is named by --from ADDRESS or GANGWAY_BASE_URL"
}

# check <file>: it is what this script was made for
check() {
  found=$(hash_with "$hasher" <"$1") || fail "cannot read \`$1\`"
  found=${found%%[!0-9a-f]*}
  [ "$found" = "$sha256" ] || fail "\`$shown_file\` is not the installer that belongs to this script; it was not started" \
    "its SHA-256 is ${found:-unknown}" "expected was $sha256" \
    "a proxy may have answered in its place, or the script is of another release: get it again"
}

# make_folder <parent>: a folder of one's own, in $next
make_folder() {
  case $1 in
    /*) ;;
    *) return 1 ;;
  esac
  [ -d "$1" ] || return 1
  if have mktemp; then
    next=$(umask 077 && mktemp -d "${1%/}/$app-install.XXXXXX" 2>/dev/null) && return
  fi
  next=${1%/}/$app-install.$$
  (umask 077 && mkdir "$next") 2>/dev/null && return
  next=
  return 1
}

# Puts the installer into a folder with room for it where programs can be started. Many systems mount /tmp so that they
# cannot; the only way to know is to try.
fetch_installer() {
  tried='' full=''
  for parent in "${TMPDIR-}" /tmp "${XDG_CACHE_HOME-}" "${HOME:+$HOME/.cache}" "${HOME-}" /var/tmp; do
    make_folder "$parent" || continue
    if ! take "$next/$file"; then
      full=${full:+$full, }${parent%/}
      rm -rf "$next"
      next=
      continue
    fi
    tried=${tried:+$tried, }${parent%/}
    [ -z "$folder" ] || rm -rf "$folder"
    folder=$next next=
    check "$folder/$file"
    chmod 700 "$folder/$file" || fail "cannot make \`$folder/$file\` executable"
    "$folder/$file" --version >/dev/null 2>&1 </dev/null
    # The shell's word for a file that the kernel does not start.
    [ $? = 126 ] || return 0
  done
  [ -n "$tried$full" ] || fail "there is no folder that can be written to" "set TMPDIR to one"
  [ -n "$tried" ] || fail "there is no room for the installer ($size) in any folder that can be written to ($full)" \
    "set TMPDIR to a folder where there is"
  fail "programs cannot be started in any folder that can be written to ($tried)" \
    "set TMPDIR to a folder that is not mounted with \`noexec\`" ${full:+"there is no room in others ($full)"}
}

# start [<argument>]...: the installer asks people, and their keyboard may be elsewhere: the pipe is where the script came from.
# An address with something in it that is not shown comes in the environment: other users see what it is started with.
start() {
  if [ "$base" = "$shown" ]; then
    set -- --from "$base" "$@"
  else
    export GANGWAY_BASE_URL="$base"
  fi
  set -- install "$@"
  if [ ! -t 0 ] && [ -t 2 ] && (: </dev/tty) 2>/dev/null; then
    "$folder/$file" "$@" </dev/tty
  else
    "$folder/$file" "$@"
  fi
}

tell() {
  lines "would install $app $version for $os on $cpu" \
    "  from       $shown" \
    "  installer  $file ($size)" \
    "  SHA-256    $sha256, checked with $hasher"
  [ "$place" = folder ] || lines "  fetched    with ${downloader#gnu-}"
  lines "  then       $file install --from $shown $*" "nothing was done"
}

main() {
  from=${GANGWAY_BASE_URL-} is_dry=no has_channel=no left=$#
  while [ "$left" -gt 0 ]; do
    left=$((left - 1)) argument=$1
    shift
    case $argument in
      -h | --help)
        usage
        return
        ;;
      --dry-run) is_dry=yes ;;
      --from)
        [ "$left" -gt 0 ] || fail "--from needs an address or a folder"
        left=$((left - 1)) from=$1
        shift
        ;;
      --from=*) from=${argument#--from=} ;;
      --channel | --channel=*)
        has_channel=yes
        set -- "$@" "$argument"
        ;;
      *) set -- "$@" "$argument" ;;
    esac
  done
  choose_installer
  choose_base
  choose_hasher
  choose_downloader
  [ "$has_channel" = yes ] || set -- --channel "$channel" "$@"
  if [ "$is_dry" = yes ]; then
    tell "$@"
    return
  fi
  fetch_installer
  start "$@"
}

trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
main "$@"
}
