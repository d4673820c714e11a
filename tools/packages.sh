#!/bin/sh
# What the tests drive, from Debian's packages, where we may install them: browsers, and the servers
# of deploy/.
# Without them `make test` still runs: it says what it skipped; CI forbids that.
set -eu

# One program of each package that is needed, and the package.
wanted="chromium:chromium chromedriver:chromium-driver WebKitWebDriver:webkit2gtk-driver
  Xvfb:xvfb xauth:xauth ffprobe:ffmpeg curl:curl firefox-esr:firefox-esr
  gst-launch-1.0:gstreamer1.0-tools systemd-analyze:systemd"
# Servers; none is to run as a service because of us.
servers="varnishd:varnish nginx:nginx haproxy:haproxy caddy:caddy"
PATH="$PATH:/usr/sbin:/sbin"
# WebKitGTK finds its decoders only through these.
decoders="gstreamer1.0-libav gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
# Held requests are collapsed in nginx by Lua.
modules="libnginx-mod-http-lua"

missing=""
for pair in $wanted $servers; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
if command -v dpkg >/dev/null 2>&1; then
  for package in $decoders $modules; do
    dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
  done
fi
[ -n "$missing" ] || exit 0

if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  echo "installing for the tests:$missing"
  export DEBIAN_FRONTEND=noninteractive
  refusing=/usr/sbin/policy-rc.d
  if [ ! -e "$refusing" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$refusing"
    chmod +x "$refusing"
    trap 'rm -f "$refusing"' EXIT
  fi
  apt-get update -qq
  # shellcheck disable=SC2086 # a list of packages
  apt-get install -y -qq --no-install-recommends $missing >/dev/null
  for pair in $servers; do
    case "$missing " in
      *" ${pair##*:} "*) systemctl disable --quiet "${pair##*:}" 2>/dev/null || true ;;
    esac
  done
else
  echo "not installed, tests that need them are skipped:$missing"
  echo "on Debian or Ubuntu: sudo apt-get install$missing"
fi
