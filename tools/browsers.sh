#!/bin/sh
# The browsers that the tests drive, from Debian's packages, where we may install them.
# Without them `make test` still runs: it says what it skipped; CI forbids that.
set -eu

# One program of each package that is needed, and the package.
wanted="chromium:chromium chromedriver:chromium-driver WebKitWebDriver:webkit2gtk-driver
  Xvfb:xvfb xauth:xauth ffprobe:ffmpeg curl:curl"
# WebKitGTK finds its decoders only through these.
decoders="gstreamer1.0-libav gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"

missing=""
for pair in $wanted; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
if command -v dpkg >/dev/null 2>&1; then
  for package in $decoders; do
    dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
  done
fi
[ -n "$missing" ] || exit 0

if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  echo "installing for the browser tests:$missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # shellcheck disable=SC2086 # a list of packages
  apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
  echo "not installed, tests that need them are skipped:$missing"
  echo "on Debian or Ubuntu: sudo apt-get install$missing"
fi
