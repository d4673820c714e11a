#!/bin/sh
# Follow a low-latency stream with nothing but curl: each reload is held by the server until the
# next part is there, so nothing is ever asked for in vain.
#
#   follow.sh URL SECONDS     URL: of a media playlist, such as .../live/demo/v0/media.m3u8
#
# One line a part: its number (segment.part), its bytes, and how long its reload was held.
set -eu
url=$1
end=$(($(date +%s) + $2))

# What comes after all that a playlist lists: the segment in progress, and its next part.
next='
  /^#EXT-X-MEDIA-SEQUENCE:/ { split($0, tag, ":"); msn = tag[2] }
  /^#EXT-X-PART:/           { part++ }
  /^#EXTINF:/               { msn++; part = 0 }
  END                       { print msn + 0, part + 0 }'

# shellcheck disable=SC2046 # two numbers are wanted
set -- $(curl -fsS "$url" | awk "$next")
while [ "$(date +%s)" -lt "$end" ]; do
  reload="$url?_HLS_msn=$1&_HLS_part=$2"
  playlist=$(curl -fsS -w '\n# %{time_starttransfer}\n' "$reload")
  part=$(echo "$playlist" | sed -n 's/^#EXT-X-PART:.*URI="\([^"]*\)".*/\1/p' | tail -n 1)
  bytes=$(curl -fsS "${url%/*}/$part" | wc -c)
  held=$(echo "$playlist" | sed -n 's/^# \([0-9.]*\)$/\1/p')
  echo "$1.$2 $bytes bytes, held $held s"
  # shellcheck disable=SC2046
  set -- $(echo "$playlist" | awk "$next")
done
