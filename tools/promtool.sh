#!/bin/sh
# promtool for the tests of deploy/prometheus, out of Debian's package of Prometheus; the service
# itself is not installed.
set -eu

bin="${VENV:-.venv}/bin"
command -v promtool >/dev/null 2>&1 && exit 0
[ -x "$bin/promtool" ] && exit 0
if ! command -v apt-get >/dev/null 2>&1; then
  echo "no promtool, tests that need it are skipped; it comes with Prometheus"
  exit 0
fi

bin=$(realpath "$bin")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder" # apt downloads as a user of its own
cd "$folder"
if [ "$(id -u)" = 0 ] && ! apt-cache show prometheus >/dev/null 2>&1; then
  apt-get update -qq
fi
if apt-get download -qq prometheus >/dev/null 2>&1; then
  dpkg-deb --fsys-tarfile prometheus_*.deb | tar x ./usr/bin/promtool
  mv usr/bin/promtool "$bin/"
else
  echo "no promtool, tests that need it are skipped; on Debian: apt-get download prometheus"
fi
