#!/bin/sh
# Builds the C++ gateway with $CXX into $GANGWAY_OUT.
set -eu
cd "$(dirname "$0")"
set -- -std=c++17 -O2 -Wall -Wextra -Werror -s
case "${GOOS-}" in
  windows) program=embedded-cpp.exe; set -- "$@" -lws2_32 ;;
  darwin) program=embedded-cpp ;;
  *) program=embedded-cpp; set -- "$@" -pthread ;;
esac
"$CXX" main.cpp -o "$GANGWAY_OUT/$program" "$@"
