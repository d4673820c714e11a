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
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT

# The parts from number msn.part on, and then what comes after all that a playlist lists.
news='
  /^#EXT-X-MEDIA-SEQUENCE:/ { split($0, tag, ":"); now = tag[2] + 0 }
  /^#EXT-X-PART:/ {
    match($0, /URI="[^"]*"/)
    if (now > msn || (now == msn && at >= part)) print now, at + 0, substr($0, RSTART + 5, RLENGTH - 6)
    at++
  }
  /^#EXTINF:/ { now++; at = 0 }
  END         { print now, at + 0, "-" }'

# shellcheck disable=SC2046 # two numbers are wanted
set -- $(curl -fsS "$url" | awk "$news" | tail -n 1)
msn=$1 part=$2
while [ "$(date +%s)" -lt "$end" ]; do
  reload="$url?_HLS_msn=$msn&_HLS_part=$part"
  held=$(curl -fsS -o "$folder/playlist" -w '%{time_starttransfer}' "$reload")
  awk -v msn="$msn" -v part="$part" "$news" "$folder/playlist" >"$folder/news"
  while read -r segment index uri; do
    if [ "$uri" = "-" ]; then
      msn=$segment part=$index
    else
      bytes=$(curl -fsS "${url%/*}/$uri" | wc -c)
      echo "$segment.$index $bytes bytes, held $held s"
    fi
  done <"$folder/news"
done
