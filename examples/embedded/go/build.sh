#!/bin/sh
# Builds the Go gateway for $GOOS and $GOARCH into $GANGWAY_OUT.
set -eu
cd "$(dirname "$0")"
if [ ! -f go.mod ]; then
  # Without modules: Goja as Debian's package golang-github-dop251-goja-dev installs it. Nothing is fetched.
  export GO111MODULE=off GOPATH=/usr/share/gocode
fi
# One program that needs no C library, whatever the machine that builds has.
export CGO_ENABLED=0 GOFLAGS=
# Go insists on a cache, and behind Gangway's fence there is no home to have it in.
export GOCACHE="${GOCACHE:-${TMPDIR:-/tmp}/go-build}"
go build -trimpath -buildvcs=false -ldflags='-s -w -buildid=' \
  -o "$GANGWAY_OUT/embedded-go$(go env GOEXE)" main.go
